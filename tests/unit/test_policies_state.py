"""The pack over an exported state: what stands passes, drift and what nobody protects do not, nothing is decrypted."""

import json
import shutil
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from policies import approval, evidence, protection, public_access, transport
from policies.state import State, StateInvalid, Violation, judge, read_state
from schemas.promotion.reasons import Code
from tests.support.command import connector
from tests.support.exported import SECRET, drifted, exported, of
from tests.support.program import Program, run, sample, stack_of
from tests.support.promotion import accepted, make_project, put
from tests.support.samples import ROOT

VAULT = "americas-vault"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples with everything approved."""
    made = make_project(tmp_path_factory.mktemp("approved"))
    put(made, accepted(made))
    return made


@pytest.fixture(scope="module")
def approved(project: Path) -> dict[str, Any]:
    return exported(run(stack_of("local-prod"), project), "local-prod")


@pytest.fixture
def state(approved: dict[str, Any]) -> dict[str, Any]:
    return deepcopy(approved)


@pytest.fixture(scope="module")
def unapproved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One of the samples' organisations is not approved, and its geography is updated all the same."""
    made = make_project(tmp_path_factory.mktemp("unapproved"))
    put(made, accepted(made))
    shutil.rmtree(made / "approvals" / "rheinland")
    return made, exported(run(stack_of("local-prod"), made), "local-prod")


def judged(state: dict[str, Any], project: Path) -> list[tuple[str, str, str]]:
    found = judge(read(state).resources, project)
    return [(v.urn.rpartition("::")[2], v.policy, v.message) for v in found]


def read(state: dict[str, Any]) -> State:
    return read_state(json.dumps(state).encode())


def open_the_vault(outputs: dict[str, Any]) -> None:
    outputs["properties"]["publicNetworkAccess"] = "Enabled"


OPENED = (VAULT, public_access.POLICY.name, "properties.publicNetworkAccess: expected Disabled, got Enabled")


def test_production_as_it_is_emitted_and_approved_passes(state: dict[str, Any], project: Path) -> None:
    assert len(read(state).resources) > 150
    assert judged(state, project) == []


@pytest.mark.rule(public_access.POLICY.name)
def test_a_drifted_property_is_found_though_the_program_asks_for_another(state: dict[str, Any], project: Path) -> None:
    found = drifted(state, VAULT, open_the_vault)
    assert of(found, VAULT)["inputs"]["properties"]["publicNetworkAccess"] == "Disabled"
    assert judged(found, project) == [OPENED]


@pytest.mark.rule(public_access.POLICY.name)
def test_what_the_program_asks_for_is_judged_though_azure_answers_another(state: dict[str, Any], project: Path) -> None:
    open_the_vault(of(state, VAULT)["inputs"])
    assert judged(state, project) == [OPENED]


def test_what_azure_does_not_answer_stays_what_was_asked_for(state: dict[str, Any], project: Path) -> None:
    """Of a secret Azure never answers the value, of a child none of the names in its path."""
    for resource in state["deployment"]["resources"]:
        resource["outputs"].get("properties", {}).pop("value", None)
        resource["outputs"].pop("configurationName", None)
    assert judged(state, project) == []


@pytest.mark.rule(approval.POLICY.name, Code.APPROVAL_MISSING)
def test_what_was_not_approved_is_found(unapproved: tuple[Path, dict[str, Any]]) -> None:
    project, state = unapproved
    found = judged(state, project)
    assert {(name, policy) for name, policy, _ in found} == {
        ("emea-application", "approved-configuration"),
        ("emea-worker", "approved-configuration"),
    }


def test_each_call_judges_anew(unapproved: tuple[Path, dict[str, Any]]) -> None:
    project, state = unapproved
    assert judged(state, project) == judged(state, project)


def production() -> dict[str, Any]:
    return exported(sample("prod"), "prod")


def of_prod(state: dict[str, Any]) -> list[Violation]:
    """Of the sample of production nothing is approved; that is not asked here."""
    return [v for v in judge(read(state).resources, ROOT) if v.policy != "approved-configuration"]


@pytest.mark.rule(protection.POLICY.name)
def test_state_that_somebody_unprotected_is_found() -> None:
    state = production()
    assert of_prod(state) == []
    del of(state, "americas-database-server")["protect"]
    (found,) = of_prod(state)
    assert (found.policy, found.urn.rpartition("::")[2]) == (protection.POLICY.name, "americas-database-server")


def test_the_types_that_are_protected_are_those_that_the_components_protect() -> None:
    emitted = {r.type.removeprefix("azure-native:") for r in sample("prod").resources if r.protect}
    assert emitted == protection.STATE


@pytest.mark.rule(evidence.POLICY.name)
def test_a_secret_of_the_state_stays_ciphertext_and_is_not_known() -> None:
    state = production()
    key = of(state, "americas-signing-key-worker")
    key["inputs"]["properties"]["kty"] = key["outputs"]["properties"]["kty"] = SECRET
    found = of_prod(state)
    assert [v.message for v in found] == ["properties.kty: expected EC or EC-HSM, got None"]
    assert SECRET["ciphertext"] not in str(read(state))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version": 3}',
        b'{"version": 3, "deployment": {"resources": [{"type": "t"}]}}',
        b'{"version": 3, "deployment": {"resources": [7]}}',
        b'{"version": 3, "deployment": {"resources": [{"urn": "no urn", "type": "t"}]}}',
    ],
)
def test_what_is_no_state_is_refused(content: bytes) -> None:
    with pytest.raises(StateInvalid, match="expected what `pulumi stack export` writes"):
        read_state(content)


def test_another_version_an_empty_state_and_two_stacks_are_refused() -> None:
    urns = [{"urn": f"urn:pulumi:{s}::p::t::n", "type": "t"} for s in ("a", "b")]
    refused: list[tuple[dict[str, Any], str]] = [
        ({"version": 4, "deployment": {}}, "expected a deployment of version 3, got 4"),
        ({"version": 3, "deployment": {"resources": None}}, "of one stack, got no resources"),
        ({"version": 3, "deployment": {"resources": urns}}, "of one stack, got a, b"),
    ]
    for state, said in refused:
        with pytest.raises(StateInvalid, match=said):
            read_state(json.dumps(state).encode())


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.rule(transport.POLICY.name)
def test_the_command_prints_each_violation_with_urn_policy_and_controls(state: dict[str, Any], project: Path) -> None:
    def lower(outputs: dict[str, Any]) -> None:
        outputs["minimumTlsVersion"] = "TLS1_0"

    file = project / "state.json"
    file.write_text(json.dumps(state))
    ask = partial(connector, project, "policy", str(file))
    right = ask("--stack", "local-prod")
    assert right.exit_code == 0
    assert "0 violations" in right.stdout
    file.write_text(json.dumps(drifted(state, "emea-storage-account", lower)))
    wrong = ask()
    assert wrong.exit_code == 1
    shown = "".join(wrong.stdout.split())
    for part in ("emea-storage-account", "encrypted-transport", "expectedTLS1_2orTLS1_3,gotTLS1_0", "MCSBDP-3,NS-8"):
        assert part in shown
    document = json.loads(ask("--output", "json").stdout)
    (violation,) = document["violations"]
    assert violation["urn"].endswith("::emea-storage-account")
    assert violation["controls"]["HIPAA"] == ["164.312(e)(1)", "164.312(e)(2)(ii)"]


@pytest.mark.parametrize(
    ("stack", "arguments", "said"),
    [
        ("prod", ("--stack", "test"), "expected the state of stack test, got that of prod"),
        ("elsewhere", (), "there is no stack 'elsewhere'"),
        (None, (), "No such file"),
        ("", (), "expected resources of one stack, got no resources"),
    ],
)
def test_the_command_refuses_another_stack_an_unknown_one_and_no_state(
    project: Path, tmp_path: Path, stack: str | None, arguments: tuple[str, ...], said: str
) -> None:
    file = tmp_path / "state.json"
    if stack is not None:
        file.write_text(json.dumps(exported(sample("prod") if stack else Program([]), stack)))
    done = connector(project, "policy", str(file), *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in str(done.exception)
