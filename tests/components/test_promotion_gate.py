"""Production is decided before the first resource: an update stops with every reason, a preview warns, test goes on."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pulumi
import pytest

from components.program import approvals_of, digest_of_working_tree
from components.project_files import files_of
from components.promotion import MOST_RECORDS, records
from components.promotion import decided as decided_by_program
from components.source import Source, SourceBroken
from schemas.loading import Loaded, load_stack
from schemas.promotion.approvals import Approvals
from schemas.promotion.decide import Approved, Decisions, Withdrawn, decide
from schemas.promotion.promoted import FILE
from schemas.promotion.reading import known_of_project
from schemas.promotion.statement import Revoked, at
from schemas.stack_config import StackConfig
from schemas.vocabulary import GeographyName, Stage
from tests.support import statements
from tests.support.program import stack_of
from tests.support.promotion import accepted, make_project, now, put

NOW = now()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", found.append)
    return found


@pytest.fixture(params=[False])
def preview(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: request.param)
    return request.param


def decided(stack: StackConfig, project: Path) -> Decisions:
    """As the program decides."""
    files = files_of(project)
    source = Source(lambda file: load_stack(file, files.text))
    return decided_by_program(stack, approvals_of(project), source, project)


NOTHING_APPROVED = """\
Production is refused; nothing was changed in Azure.
4 of 4 connections may not be served in production:
lakeside-production (lakeside): refused
  - expected an approval of lakeside-production, got none [approval-missing]
prairie-production (prairie): refused
  - expected an approval of prairie-production, got none [approval-missing]
rheinland-production (rheinland): refused
  - expected an approval of rheinland-production, got none [approval-missing]
southern-cross-production (southern-cross): refused
  - expected an approval of southern-cross-production, got none [approval-missing]
what to do:
  approval-missing: the approver approves it in the portal of the test stack
`connector explain lakeside-production` says who approves it, where, and what was signed"""


@pytest.mark.usefixtures("preview", "warned")
def test_an_update_of_production_stops_with_every_reason(project: Path) -> None:
    with pytest.raises(pulumi.RunError) as refused:
        decided(stack_of("local-prod"), project)
    assert str(refused.value) == NOTHING_APPROVED


@pytest.mark.parametrize("preview", [True], indirect=True)
@pytest.mark.usefixtures("preview")
def test_a_preview_of_production_warns_with_the_same_words(project: Path, warned: list[str]) -> None:
    decided(stack_of("local-prod"), project)
    (warning,) = warned
    assert warning == "`pulumi up` would be refused\n" + NOTHING_APPROVED.split("\n", 1)[1]


@pytest.mark.usefixtures("preview")
def test_an_update_of_test_never_stops(project: Path, warned: list[str]) -> None:
    assert len(decided(stack_of("local"), project)) == 4
    assert warned == []


@pytest.mark.usefixtures("preview")
def test_what_is_approved_and_rehearsed_goes_to_production(project: Path, warned: list[str]) -> None:
    put(project, accepted(project))
    decisions = decided(stack_of("local-prod"), project)
    assert {type(d) for d in decisions.values()} == {Approved}
    assert warned == []


@pytest.mark.usefixtures("preview")
def test_what_is_revoked_is_withdrawn_and_stops_nobody(project: Path, warned: list[str]) -> None:
    found = accepted(project)
    revoked = Revoked(connection="rheinland-production", reason="a leaked key", at=at(NOW))
    list_ = statements.statement_file(
        statements.private_key(Stage.PRODUCTION, GeographyName.EMEA, "revocation-signing"),
        statements.revocations(GeographyName.EMEA, Stage.PRODUCTION, NOW, version=2, revoked=(revoked,)),
    )
    others = tuple(s for s in found.statements if s.path != list_.path)
    put(project, Approvals((*others, list_), statements.promoted(stack_of("local"), NOW)))
    decisions = decided(stack_of("local-prod"), project)
    assert [d.connection for d in decisions.values() if isinstance(d, Withdrawn)] == ["rheinland-production"]
    assert "rheinland-production (rheinland): withdrawn\n  - expected no revocation" in "\n".join(warned)


@pytest.mark.usefixtures("preview")
def test_an_approval_that_expires_soon_is_warned_of(project: Path, warned: list[str]) -> None:
    put(project, accepted(project, NOW - timedelta(days=340)))
    renewed = statements.accepted(stack_of("local"), NOW).statements
    put(project, Approvals(tuple(s for s in renewed if "/revocations/" in s.path), accepted(project).promoted))
    rehearsed = accepted(project).statements
    put(project, Approvals(tuple(s for s in rehearsed if "/rehearsal-" in s.path)))
    decided(stack_of("local-prod"), project)
    (warning,) = warned
    assert warning.startswith(
        "promotion\nlakeside-production (lakeside): approved\n  - expected an approval for 30 days"
    )


@pytest.mark.usefixtures("preview", "warned")
def test_integration_records_are_outputs_of_approved_connections_alone(project: Path) -> None:
    stack = stack_of("local-prod")
    put(project, Approvals(tuple(s for s in accepted(project).statements if "/prairie" not in s.path)))
    decisions = decide(known_of_project(stack, files_of(project), digest_of_working_tree(project), now()))
    outputs = records(stack, decisions)
    assert {name: found["approved_connections"] for name, found in outputs.items()} == {
        "americas": 1,
        "emea": 1,
        "apac": 1,
    }
    text = json.dumps(outputs)
    assert "https://localhost:8451/launch/provider/lakeside-production" in text
    assert "prairie" not in text


@pytest.mark.usefixtures("preview", "warned")
def test_outputs_do_not_grow_with_organisations(project: Path) -> None:
    put(project, accepted(project))
    stack = stack_of("local-prod")
    decisions = decided(stack, project)
    (organization,) = stack.served_in(GeographyName.EMEA)
    (connection,) = organization.connections
    others = [connection.model_copy(update={"id": f"rheinland-{n}"}) for n in range(MOST_RECORDS)]
    many = organization.model_copy(update={"connections": (connection, *others)})
    approved = decisions | {c.id: decisions[connection.id] for c in others}
    outputs = records(stack.model_copy(update={"organizations": (many,)}), approved)["emea"]
    assert outputs == {
        "approved_connections": MOST_RECORDS + 1,
        "integration_records": "connector records CONNECTION",
    }


def spoiled_source(project: Path) -> None:
    (project / "Pulumi.local.yaml").write_text("config: {}\n", "utf-8")


def missing_source(project: Path) -> None:
    (project / "Pulumi.local.yaml").unlink()


def spoiled_promoted(project: Path) -> None:
    (project / FILE).parent.mkdir()
    (project / FILE).write_text('{"version": 1, "connections": {}, "connections": {}}', "utf-8")


def a_statement_outside(project: Path) -> None:
    (project / "approvals" / "revocations").mkdir(parents=True)
    outside = project.parent / f"{project.name}-outside.json"
    outside.write_text("{}", "utf-8")
    (project / "approvals" / "revocations" / "emea-production.json").symlink_to(outside)


@pytest.mark.parametrize("preview", [False, True], indirect=True)
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoiled_source, "the test stack local"),
        (missing_source, "the test stack local"),
        (spoiled_promoted, FILE),
        (a_statement_outside, "leads out of the project"),
    ],
)
@pytest.mark.usefixtures("preview")
def test_what_cannot_be_read_stops_an_update_and_a_preview(
    project: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(project)
    with pytest.raises(pulumi.RunError, match="Promotion cannot be decided") as refused:
        decided(stack_of("local-prod"), project)
    assert said in str(refused.value)


def test_a_process_that_broke_stops_an_update(project: Path) -> None:
    def broken(file: str) -> Loaded:
        raise SourceBroken(f"{file} was not loaded")

    with pytest.raises(pulumi.RunError, match="Promotion cannot be decided; nothing was changed") as refused:
        decided_by_program(stack_of("local-prod"), approvals_of(project), Source(broken), project)
    assert "Pulumi.local.yaml was not loaded" in str(refused.value)
