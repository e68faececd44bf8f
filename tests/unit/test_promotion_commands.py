"""`connector check --promotion` and `connector explain`: decisions for people and for programs."""

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.promotion.revocations import BLOB, CONTAINER
from schemas.promotion.approvals import Approvals
from schemas.promotion.reasons import Code
from schemas.promotion.statement import Revoked, Verdict, at
from schemas.vocabulary import GeographyName, Stage
from tests.support import statements
from tests.support.command import connector
from tests.support.program import stack_of
from tests.support.promotion import accepted, make_project, now, put
from workflow.promotion.judging import UnknownConnection
from workflow.promotion.operator import Operator
from workflow.promotion.records import NotApproved

CONNECTION = "lakeside-production"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def approved(project: Path) -> Path:
    put(project, accepted(project))
    return project


@pytest.mark.rule(Code.APPROVAL_MISSING)
def test_nothing_approved_would_stop_production(project: Path) -> None:
    checked = connector(project, "check", "--promotion", "local-prod")
    assert checked.exit_code == 1
    assert "expected an approval of lakeside-production, got none [approval-missing]" in checked.output
    assert "approval-missing: the approver approves it in the portal of the test stack" in checked.output
    assert checked.output.endswith("stack local-prod: 0 of 4 connections approved; an update would stop\n")


def test_what_is_approved_would_not_stop_production(project: Path) -> None:
    checked = connector(approved(project), "check", "--promotion", "local-prod")
    assert checked.exit_code == 0
    assert checked.output.endswith("stack local-prod: 4 of 4 connections approved; an update would not stop\n")


@pytest.mark.rule(Code.APPROVAL_MISSING)
def test_what_is_not_approved_in_test_takes_no_launches_and_stops_nothing(project: Path) -> None:
    checked = connector(project, "check", "--promotion", "local")
    assert checked.exit_code == 0
    assert "0 of 4 connections approved; 4 take no launches; an update would not stop" in checked.output


@pytest.mark.rule(Code.APPROVAL_MISSING)
def test_decisions_as_one_document(project: Path) -> None:
    checked = connector(project, "check", "--promotion", "local-prod", "--output", "json")
    (stack,) = json.loads(checked.output)["stacks"]
    assert (stack["stack"], stack["valid"], stack["promotion"]["stops"]) == ("local-prod", True, True)
    first = stack["promotion"]["decisions"][0]
    assert (first["connection"], first["decision"], first["stops"]) == ("lakeside-production", "refused", True)
    assert [r["code"] for r in first["reasons"]] == ["approval-missing"]
    assert set(first["reasons"][0]) == {"code", "expected", "got", "file", "advice"}


def test_an_invalid_stack_is_told_with_its_problems(project: Path) -> None:
    (project / "Pulumi.local-prod.yaml").write_text("config: {}\n", "utf-8")
    checked = connector(project, "check", "--promotion", "local-prod")
    assert checked.exit_code == 1
    assert "Pulumi.local-prod.yaml:1:" in checked.output


@pytest.mark.rule(Code.APPROVAL_MISSING)
def test_a_connection_of_which_nothing_is_known_is_explained(project: Path) -> None:
    told = connector(project, "explain", "lakeside-production").output
    assert "lakeside-production of lakeside (americas, production)" in told
    assert "portal         https://localhost:8444/connections/lakeside-production" in told
    assert "stack local (test): proposed" in told
    assert "stack local-prod (production): refused" in told
    assert "the approver approves it in the portal of the test stack" in told
    assert told.endswith("nothing was signed about it\n")


@pytest.mark.rule(Code.KEY_UNKNOWN)
def test_who_approved_when_which_digest_and_on_what_evidence(project: Path) -> None:
    told = connector(approved(project), "explain", "lakeside-production").output
    connection = stack_of("local-prod").organizations[0].connections[0]
    sha256 = statements.digest_of(stack_of("local-prod"), stack_of("local-prod").organizations[0], connection)
    assert f"approved by {connection.approver.object_id} of {connection.approver.tenant_id}, serial 1" in told
    assert f"digest {sha256[:12]}, as it is now; signed by portal-signing" in told
    assert "software Epic, version August 2025" in told
    assert "rehearsal of lakeside-test with sha256:" in told
    assert "approvals/lakeside/lakeside-production/approval-000001-approve.json" in told


@pytest.mark.rule(Code.KEY_UNKNOWN, Code.STATEMENT_MALFORMED, Code.TEST_CONNECTION_MISSING)
def test_a_history_is_told_in_order_and_as_one_document(project: Path) -> None:
    stack = stack_of("local")
    organization = stack.organizations[0]
    connection = organization.connections[1]
    portal = statements.private_key(Stage.TEST, GeographyName.AMERICAS, "portal-signing")
    refused = statements.approval(organization, connection, now(), serial=2, decision=Verdict.REFUSE)
    revoked = Revoked(connection=connection.id, reason="a leaked key", at=at(now()))
    lists = statements.statement_file(
        statements.private_key(Stage.PRODUCTION, GeographyName.AMERICAS, "revocation-signing"),
        statements.revocations(GeographyName.AMERICAS, Stage.PRODUCTION, now(), version=2, revoked=(revoked,)),
    )
    later = statements.statement_file(portal, refused, statements.digest_of(stack, organization, connection))
    put(approved(project), Approvals((later, lists), statements.promoted(stack, now())))
    (project / "approvals/lakeside/lakeside-production/approval-000003-approve.json").write_text("{}", "utf-8")
    found = json.loads(connector(project, "explain", connection.id, "--output", "json").output)
    of_test, of_production = found["stacks"]
    assert (of_test["stack"], of_test["decision"]) == ("local", None)
    history = of_production["history"]
    assert [e["at"] for e in history] == sorted(e["at"] for e in history)
    assert history[0]["doesNotCount"].endswith("[statement-malformed]")
    what = " / ".join(e["what"] for e in history)
    assert all(words in what for words in ("serial 1", "serial 2", "revoked (production, list 2)", "promoted with"))


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What the channels hold, by stage: storage that answers at once."""
    blobs: dict[str, bytes] = {}

    class Held:
        def __init__(self, stage: Stage) -> None:
            self.stage = stage

        async def read(self, container: str, blob: str) -> bytes | None:
            assert (container, blob) == (CONTAINER, BLOB)
            return blobs.get(self.stage)

    def storage(operator: Operator, _: GeographyName) -> Held:
        return Held(operator.stack.stage)

    monkeypatch.setattr(Operator, "storage", storage)
    return blobs


def a_list(version: int, *connections: str) -> bytes:
    revoked = tuple(Revoked(connection=c, reason="a leaked key", at=at(now())) for c in connections)
    key = statements.private_key(Stage.PRODUCTION, GeographyName.AMERICAS, "revocation-signing")
    predicate = statements.revocations(
        GeographyName.AMERICAS, Stage.PRODUCTION, now(), version=version, revoked=revoked
    )
    return statements.statement_file(key, predicate).content


def explained(project: Path) -> dict[str, Any]:
    (found,) = [
        stack
        for stack in json.loads(connector(project, "explain", "lakeside-production", "--output", "json").output)[
            "stacks"
        ]
        if stack["stack"] == "local-prod"
    ]
    return found


@pytest.mark.rule(Code.KEY_UNKNOWN, Code.REVOKED)
def test_a_revocation_that_is_published_and_not_merged_is_told(project: Path, channel: dict[str, bytes]) -> None:
    channel["production"] = a_list(2, "lakeside-production")
    found = explained(approved(project))
    assert (found["channel"]["version"], found["channel"]["newer"], found["channel"]["unread"]) == (2, True, None)
    assert [r["code"] for r in found["decision"]["reasons"]] == ["revoked"]
    assert "revoked (production, list 2)" in " / ".join(e["what"] for e in found["history"])
    told = connector(project, "explain", "lakeside-production").output
    assert "list of revocations in the channel: 2, in force until" in told
    assert "which is not merged here" in told


@pytest.mark.rule(Code.KEY_UNKNOWN)
def test_an_older_list_in_the_channel_decides_nothing(project: Path, channel: dict[str, bytes]) -> None:
    channel["production"] = a_list(1, "lakeside-production")
    found = explained(approved(project))
    assert (found["channel"]["version"], found["channel"]["newer"]) == (1, False)
    assert found["decision"]["decision"] == "approved"


@pytest.mark.rule(Code.KEY_UNKNOWN)
def test_a_channel_without_a_list_says_so(project: Path, channel: dict[str, bytes]) -> None:
    assert channel == {}
    assert "list of revocations in the channel: none" in connector(approved(project), "explain", CONNECTION).output


@pytest.mark.rule(Code.KEY_UNKNOWN, Code.STATEMENT_MALFORMED)
def test_a_list_that_nobody_signed_is_told_and_decides_nothing(project: Path, channel: dict[str, bytes]) -> None:
    channel["production"] = a_list(2, CONNECTION).replace(b'"sig":"', b'"sig":"AA')
    found = explained(approved(project))
    assert "is no list that counts" in found["channel"]["unread"]
    assert found["decision"]["decision"] == "approved"


@pytest.mark.rule(Code.KEY_UNKNOWN)
def test_a_channel_that_is_out_of_reach_is_told(project: Path) -> None:
    told = connector(approved(project), "explain", CONNECTION).output
    assert "could not be read (the emulated cloud has no storage account of americas, production)" in told
    assert "told from the files alone" in told


def test_a_connection_that_no_stack_has_is_refused(project: Path) -> None:
    refused = connector(project, "explain", "nowhere")
    assert isinstance(refused.exception, UnknownConnection)
    assert "local-prod" in refused.exception.advice


def test_records_are_printed_for_an_approved_connection(project: Path) -> None:
    approved(project)
    found = json.loads(connector(project, "records", "lakeside-production", "--format", "json").output)
    assert found["records"][0]["launchUrl"] == "https://localhost:8451/launch/provider/lakeside-production"
    table = connector(project, "records", "lakeside-production", "--format", "csv").output
    assert table.splitlines()[0].startswith('"kind","title"')
    assert "https://localhost:8451" in connector(project, "records", "lakeside-production").output


@pytest.mark.rule(Code.APPROVAL_MISSING)
@pytest.mark.parametrize("kind", ["text", "json", "csv"])
def test_there_are_no_records_before_the_approval(project: Path, kind: str) -> None:
    refused = connector(project, "records", "lakeside-production", "--format", kind)
    assert isinstance(refused.exception, NotApproved)
    assert "approval-missing" in refused.exception.advice
    assert "launch/provider" not in refused.output
