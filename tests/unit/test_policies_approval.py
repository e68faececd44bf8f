"""The pack decides again from what is emitted: what the program let through, and what it was made to let through."""

import os
import random
import sys
from collections.abc import Callable
from contextlib import chdir
from datetime import timedelta
from pathlib import Path
from threading import Thread, get_native_id
from typing import Any, cast

import pytest
from pulumi.runtime.proto.analyzer_pb2 import AnalyzerStackConfigureRequest
from pulumi_policy import EnforcementLevel, ResourceValidationArgs
from pulumi_policy import policy as sdk
from pulumi_policy.proxy import unknown_checking_proxy

from policies import approval
from policies.preview import on_configured
from schemas.promotion.approvals import Approvals
from schemas.promotion.reasons import Code
from schemas.stack_config import EhrConnection, Organization, StackConfig
from schemas.vocabulary import GeographyName, RehearsalPolicy, Stage
from tests.support import statements
from tests.support.judged import OPTIONS, UNKNOWN, changed, variable
from tests.support.program import Emitted, Program, run, stack_of
from tests.support.promotion import accepted, make_project, now, put

STACK = "local-prod"
Change = Callable[[Emitted], dict[str, Any]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def as_emitted(resource: Emitted) -> dict[str, Any]:
    return resource.inputs


def violations(
    program: Program,
    project: Path,
    change: Change = as_emitted,
    stack: str = STACK,
    pack: approval.Approved | None = None,
) -> dict[str, str]:
    """What one run of the pack reports, by resource; the engine asks about each resource before it is made."""
    found: dict[str, list[str]] = {}
    policy = (pack or approval.Approved()).policy
    with chdir(project):
        for resource in program.resources:
            urn = resource.urn.replace("urn:pulumi:stack::", f"urn:pulumi:{stack}::")
            properties: Any = unknown_checking_proxy(change(resource))
            args = ResourceValidationArgs(resource.type, properties, urn, resource.name, OPTIONS, None)
            policy.validate(  # pyright: ignore[reportUnknownMemberType]
                args, lambda text, urn=None, name=resource.name: found.setdefault(name, []).append(text)
            )
    return {name: "\n".join(texts) for name, texts in found.items()}


def emea(name: str = STACK) -> StackConfig:
    """One geography of a sample stack, with its one organisation, Rheinland."""
    stack = stack_of(name)
    geographies = {GeographyName.EMEA: stack.geographies[GeographyName.EMEA]}
    organizations = tuple(o for o in stack.organizations if o.geography is GeographyName.EMEA)
    return stack.model_copy(update={"geographies": geographies, "organizations": organizations})


def told(found: dict[str, str]) -> str:
    """All that was reported: of one document the whole once, at the first container app that is about to run it."""
    return "\n".join(found.values())


def one_organization(stack: StackConfig) -> tuple[Organization, EhrConnection]:
    organization = stack.organizations[0]
    return organization, organization.connections[0]


def with_connection(stack: StackConfig, **changes: Any) -> StackConfig:
    """The stack with its first connection changed."""
    organization, connection = one_organization(stack)
    edited = organization.model_copy(update={"connections": (connection.model_copy(update=changes),)})
    return stack.model_copy(update={"organizations": (edited, *stack.organizations[1:])})


def test_what_is_approved_and_rehearsed_passes(project: Path) -> None:
    put(project, accepted(project))
    assert violations(run(stack_of(STACK), project), project) == {}


@pytest.mark.rule(approval.POLICY.name, Code.APPROVAL_MISSING)
def test_a_program_without_its_check_is_stopped(project: Path) -> None:
    """`run` emits without asking: as if the check had been removed from `__main__.py`."""
    found = violations(run(stack_of(STACK), project), project)
    assert set(found) == {f"{g}-{r}" for g in ("americas", "emea", "apac") for r in ("application", "worker")}
    assert "lakeside-production (lakeside): refused" in told(found)
    assert "[approval-missing]" in told(found)


EDITED = "https://127.0.0.1:8473/interconnect-rheinland-prd/api/FHIR/R5"


@pytest.mark.rule(approval.POLICY.name)
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"fhir_base_url": EDITED}, "approval-url", marks=pytest.mark.rule(Code.APPROVAL_URL)),
        pytest.param(
            {"frame_origins": ()}, "configuration-changed", marks=pytest.mark.rule(Code.CONFIGURATION_CHANGED)
        ),
    ],
)
def test_an_edit_of_one_value_is_stopped(project: Path, changes: dict[str, Any], code: str) -> None:
    put(project, accepted(project))
    found = violations(run(with_connection(emea(), **changes), project), project)
    assert set(found) == {"emea-application", "emea-worker"}
    assert f"[{code}]" in told(found)
    assert told(found).count("see the violation before") == 1


@pytest.mark.rule(approval.POLICY.name, Code.APPROVAL_EXPIRED)
def test_an_expired_approval_is_stopped(project: Path) -> None:
    put(project, accepted(project, now() - timedelta(days=364)))
    put(project, without_approvals(accepted(project)))
    found = violations(run(emea(), project), project)
    assert "[approval-expired]" in told(found)


def without_approvals(approvals: Approvals) -> Approvals:
    return Approvals(tuple(s for s in approvals.statements if "/approval-" not in s.path))


@pytest.mark.rule(approval.POLICY.name, Code.APPROVAL_MISSING)
def test_a_missing_approval_is_stopped(project: Path) -> None:
    put(project, without_approvals(accepted(project)))
    assert "[approval-missing]" in told(violations(run(emea(), project), project))


def believing_less(stack: StackConfig) -> StackConfig:
    promotion = stack.promotion.model_copy(update={"rehearsal": RehearsalPolicy.ONCE})
    return stack.model_copy(update={"promotion": promotion})


def elsewhere(stack: StackConfig) -> StackConfig:
    """Under a host of its own, whose digests others approved."""
    geography = stack.geographies[GeographyName.EMEA]
    hosts = geography.public_hosts.model_copy(update={"production": "localhost:9999"})
    return stack.model_copy(
        update={"geographies": {GeographyName.EMEA: geography.model_copy(update={"public_hosts": hosts})}}
    )


@pytest.mark.rule(approval.POLICY.name)
@pytest.mark.parametrize(("change", "named"), [(believing_less, "promotion"), (elsewhere, "publicHosts")])
def test_a_document_that_says_how_it_is_judged_is_not_believed(
    project: Path, change: Callable[[StackConfig], StackConfig], named: str
) -> None:
    put(project, accepted(project))
    found = violations(run(change(emea()), project), project)
    assert f"configuration document: {named}: expected what the project's files" in told(found)


@pytest.mark.rule(approval.POLICY.name)
def test_what_is_promoted_is_read_from_the_project(project: Path) -> None:
    """An entry of its own would let a document keep what has expired."""
    found = accepted(project)
    put(project, Approvals(found.statements, statements.promoted(stack_of("local"), now())))
    program = run(emea(), project)
    put(project, Approvals())
    assert "configuration document: promoted: expected" in told(violations(program, project))


def of_container(**variables: str | None) -> Change:
    def change(resource: Emitted) -> dict[str, Any]:
        inputs = resource.inputs
        if resource.type == "azure-native:app:ContainerApp":
            for name, value in variables.items():
                inputs = variable(inputs, name, value)
        return inputs

    return change


def without_chunks(resource: Emitted) -> dict[str, Any]:
    return {} if resource.type == "azure-native:keyvault:Secret" else resource.inputs


def with_another_image(resource: Emitted) -> dict[str, Any]:
    if resource.type != "azure-native:app:ContainerApp":
        return resource.inputs
    image = "registry.local/connector@sha256:" + "b" * 64
    return changed(resource.inputs, "template.containers.0.image", image)


LITERAL = "expected the literal values of one document"


@pytest.mark.rule(approval.POLICY.name)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (of_container(**{approval.SHA256: "0" * 64}), LITERAL),
        (of_container(**{approval.SHA256: None}), LITERAL),
        (of_container(**{approval.SHA256: UNKNOWN}), LITERAL),
        (of_container(**{approval.COUNT: "many"}), LITERAL),
        (without_chunks, "the chunks are incomplete"),
        pytest.param(with_another_image, "[rehearsal-image]", marks=pytest.mark.rule(Code.REHEARSAL_IMAGE)),
    ],
)
def test_what_cannot_be_judged_is_stopped(project: Path, change: Change, said: str) -> None:
    put(project, accepted(project))
    assert said in told(violations(run(emea(), project), project, change))


@pytest.mark.rule(approval.POLICY.name)
def test_a_project_that_cannot_be_read_is_stopped(project: Path) -> None:
    put(project, accepted(project))
    program = run(emea(), project)
    (project / "approvals" / "promoted.json").write_text("[]", "utf-8")
    assert "expected a readable project" in told(violations(program, project))


def many(stack: StackConfig, stage: Stage) -> StackConfig:
    """The stack with many more organisations, whose document takes several chunks."""
    rng = random.Random(7)
    organization, _ = one_organization(emea("local"))
    made = list[Organization]()
    for n in range(120):
        name = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=60))
        connections = tuple(
            c.model_copy(update={"id": f"hospital-{n}-{c.stage}", "frame_origins": (f"https://{name}.example",)})
            for c in organization.connections
            if stage is Stage.TEST or c.stage is stage
        )
        made.append(organization.model_copy(update={"id": f"hospital-{n}", "connections": connections}))
    return stack.model_copy(update={"organizations": (*stack.organizations, *made)})


@pytest.mark.rule(approval.POLICY.name, Code.APPROVAL_MISSING)
def test_a_document_in_several_chunks_is_judged_whole(project: Path) -> None:
    found = accepted(project, test=many(emea("local"), Stage.TEST))
    put(project, found)
    stack = many(emea(), Stage.PRODUCTION)
    program = run(stack, project)
    chunks = [r for r in program.of("azure-native:keyvault:Secret") if r.name.startswith("emea-")]
    assert len(chunks) > 2
    assert violations(program, project) == {}
    (last,) = [s.path for s in found.statements if "hospital-119-production/" in s.path]
    (project / last).unlink()
    refused = violations(run(stack, project), project)
    assert set(refused) == {"emea-application", "emea-worker"}
    assert "1 of 121 connections may not be served in production:\nhospital-119-production" in told(refused)


def test_the_test_stage_is_not_judged(project: Path) -> None:
    program = run(emea("local"), project)
    found = violations(program, project, stack="local")
    assert program.of("azure-native:app:ContainerApp")
    assert found == {}


@pytest.mark.parametrize(
    ("dry_run", "level"),
    [("true", EnforcementLevel.ADVISORY), ("false", EnforcementLevel.MANDATORY), (None, EnforcementLevel.MANDATORY)],
)
def test_it_advises_in_a_preview_and_stops_an_update(
    monkeypatch: pytest.MonkeyPatch, dry_run: str | None, level: EnforcementLevel
) -> None:
    monkeypatch.delenv("PULUMI_DRY_RUN", raising=False)
    if dry_run is not None:
        monkeypatch.setenv("PULUMI_DRY_RUN", dry_run)
    assert approval.Approved().policy.enforcement_level is level


@pytest.mark.parametrize(("dry_run", "level"), [(True, EnforcementLevel.ADVISORY), (False, EnforcementLevel.MANDATORY)])
def test_the_engines_word_decides_between_advice_and_refusal(
    monkeypatch: pytest.MonkeyPatch, dry_run: bool, level: EnforcementLevel
) -> None:
    servicer = cast("Any", sdk)._PolicyAnalyzerServicer
    asked: list[object] = []

    def configure_stack(self: object, request: object, context: object) -> None:
        asked.append(request)

    monkeypatch.setattr(servicer, "ConfigureStack", configure_stack)
    judging = approval.Approved()
    on_configured(judging.configured)
    request = AnalyzerStackConfigureRequest(stack=STACK, dry_run=dry_run)
    servicer.ConfigureStack(None, request, None)
    assert judging.policy.enforcement_level is level
    assert asked == [request]


def configured(project: Path) -> tuple[approval.Approved, Thread]:
    """The pack as the engine has configured it for the stack, and the thread that it began."""
    pack = approval.Approved()
    with chdir(project):
        pack.configured(STACK, preview=False)
    assert pack.ahead is not None
    return pack, pack.ahead


@pytest.mark.rule(Code.KEY_UNKNOWN)
def test_what_is_emitted_was_verified_while_the_program_decided(project: Path, verified: list[str]) -> None:
    found = accepted(project)
    put(project, found)
    program = run(stack_of(STACK), project)
    pack, ahead = configured(project)
    ahead.join()
    before = sorted(verified)
    assert before == sorted(s.path for s in found.statements)
    assert violations(program, project, pack=pack) == {}
    assert sorted(verified) == before


def test_who_verifies_ahead_lets_the_program_go_first(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def priority(*_: object) -> None:
        found.append(os.getpriority(os.PRIO_PROCESS, get_native_id()))

    found: list[int] = []
    own = os.getpriority(os.PRIO_PROCESS, get_native_id())
    monkeypatch.setattr(approval, "verify_all", priority)
    _, ahead = configured(project)
    ahead.join()
    assert found == [approval.LOWER_PRIORITY if sys.platform == "linux" else own]
    assert os.getpriority(os.PRIO_PROCESS, get_native_id()) == own


@pytest.mark.rule(Code.KEY_UNKNOWN)
def test_a_statement_that_is_emitted_otherwise_than_it_stands_is_verified_then(
    project: Path, verified: list[str]
) -> None:
    put(project, accepted(project))
    program = run(emea(), project)
    (file,) = (project / "approvals" / "rheinland" / "rheinland-production").glob("approval-*.json")
    file.write_bytes(b"{}")
    pack, ahead = configured(project)
    ahead.join()
    path = file.relative_to(project).as_posix()
    assert verified.count(path) == 1
    assert violations(program, project, pack=pack) == {}
    assert verified.count(path) == 2


@pytest.mark.rule(approval.POLICY.name)
@pytest.mark.parametrize("spoil", ["Pulumi.local-prod.yaml", "approvals/promoted.json"])
def test_what_cannot_be_read_ahead_is_told_by_the_judgement(
    project: Path, capfd: pytest.CaptureFixture[str], spoil: str
) -> None:
    program = run(emea(), project)
    (project / "approvals").mkdir(exist_ok=True)
    (project / spoil).write_text("config: 7", "utf-8")
    pack, ahead = configured(project)
    ahead.join()
    assert capfd.readouterr().err == ""
    assert "expected a readable project" in told(violations(program, project, pack=pack))


def test_in_the_test_stage_nothing_is_verified_ahead(project: Path, verified: list[str]) -> None:
    put(project, accepted(project))
    pack = approval.Approved()
    with chdir(project):
        pack.configured("local", preview=False)
    assert pack.ahead is not None
    pack.ahead.join()
    assert verified == []
