"""Whom a runtime serves: from what is deployed, recorded and held, at the start and each minute after it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from runtime.bootstrap import anchors
from runtime.errors import DatabaseUnavailable
from runtime.promotion.minutely import decide_once
from runtime.promotion.standing import reasons_of
from runtime.promotion.statements import record
from schemas.promotion.approvals import Approvals
from schemas.promotion.decide import Approved
from schemas.promotion.envelope import StatementFile
from schemas.promotion.statement import Account, BreakGlass, ConnectionReference, Verdict, at
from schemas.promotion.trust import Trust
from schemas.vocabulary import Cloud, GeographyName, Stage, StatementType
from tests.support.launching import Place
from tests.support.standing import AMERICAS, Deciding, deciding, sample, without
from tests.support.statements import (
    NOW,
    accepted,
    approval,
    digest_of,
    private_key,
    promoted,
    revocations,
    sign,
    statement_file,
)

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("stage", list(Stage))
NO_LIST = "approvals/revocations/"


def everything(*, served: bool = False) -> Approvals:
    """Of both stages; `served`: and promoted in production."""
    given = accepted(sample(Stage.TEST))
    return replace(given, promoted=promoted(sample(Stage.TEST))) if served else given


def lakeside(connection_id: str = "lakeside-test") -> tuple[Any, Any]:
    organization = next(o for o in sample(Stage.TEST).organizations if o.id == "lakeside")
    return organization, next(c for c in organization.connections if c.id == connection_id)


def approved_file(serial: int, decision: Verdict = Verdict.APPROVE, **changes: Any) -> StatementFile:
    """An approval (or refusal) of lakeside-test, by the portal."""
    organization, connection = lakeside()
    given = approval(organization, connection, serial=serial, decision=decision, **changes)
    key = private_key(Stage.TEST, AMERICAS, "portal-signing")
    return statement_file(key, given, digest_of(sample(Stage.TEST), organization, connection))


def events(logs: list[Any], event: str) -> list[str]:
    """The codes of an event's lines."""
    return [str(line.get("code", "")) for line in logs if line["event"] == event]


# --- the decision -------------------------------------------------------------------------------------------------


@BOTH
async def test_what_is_approved_is_served(place: Place, stage: Stage) -> None:
    async with deciding(place, stage, everything()) as here:
        await here.refresh()
        assert await here.answer() == ("", "")


@BOTH
async def test_nobody_is_served_before_the_first_decision(place: Place, stage: Stage) -> None:
    async with deciding(place, stage, everything()) as here:
        here.services.standing.catch_up = _nothing  # type: ignore[method-assign]
        assert await here.answer() == ("connection-not-approved", "undecided")


async def _nothing(_: object) -> None:
    return None


@BOTH
@pytest.mark.parametrize(
    ("missing", "code"),
    [
        ("approval-", "approval-missing"),
        (NO_LIST, "revocations-never-held"),
    ],
)
async def test_the_runtime_refuses_alone_what_neither_program_nor_policy_stopped(
    place: Place, stage: Stage, missing: str, code: str
) -> None:
    async with deciding(place, stage, without(everything(), missing)) as here:
        await here.refresh()
        assert await here.answer() == ("connection-not-approved", code)


async def test_production_is_not_served_without_its_rehearsal(place: Place) -> None:
    async with deciding(place, Stage.PRODUCTION, without(everything(), "/rehearsal-")) as here:
        await here.refresh()
        assert await here.answer() == ("connection-not-approved", "rehearsal-missing")


async def test_production_is_not_served_by_an_image_that_was_not_rehearsed(place: Place) -> None:
    other = "registry.local/connector@sha256:" + "b" * 64
    async with deciding(place, Stage.PRODUCTION, everything(), image=other) as here:
        await here.refresh()
        assert await here.answer() == ("connection-not-approved", "rehearsal-image")


@BOTH
async def test_a_key_that_the_configuration_lists_and_the_image_does_not_counts_for_nothing(
    place: Place, stage: Stage
) -> None:
    async with deciding(place, stage, everything()) as here:
        document = here.services.configuration.document
        nothing = Trust(document.promotion.trusted_keys, anchors(Cloud.AZURE))
        here.services = replace(here.services, trust=nothing)
        await here.refresh()
        assert not (await here.serving()).allowed
        assert set(here.codes()) == {"key-not-in-image", "revocations-never-held"}


@BOTH
async def test_a_decision_is_told_when_it_changes_and_not_again(place: Place, stage: Stage) -> None:
    async with deciding(place, stage, everything()) as here:
        for told in (True, False):
            with capture_logs() as logs:
                await here.refresh()
            lines = [(line["connection"], line["state"]) for line in logs if line["event"] == "standing"]
            assert ((here.connection, "approved") in lines) is told


async def test_proposals_are_decided_for_the_portal_and_served_nowhere(place: Place) -> None:
    async with deciding(place, Stage.TEST, without(everything(), "prairie-production/approval")) as here:
        await here.refresh()
        standing = here.services.standing
        assert isinstance(standing.proposals["lakeside-production"], Approved)
        assert [r.code for r in reasons_of(standing.decision("prairie-production"))] == ["approval-missing"]
        assert not standing.proposals.keys() & standing.decisions.keys()


# --- time ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("served", "answer"), [(False, "approval-expired"), (True, "")])
async def test_an_expired_approval_stops_only_what_was_not_served_already(
    place: Place, served: bool, answer: str
) -> None:
    organization, connection = lakeside("lakeside-production")
    given = everything(served=served)
    test = next(c for c in organization.connections if c.id == "lakeside-test")
    reference = ConnectionReference(id=test.id, sha256=digest_of(sample(Stage.TEST), organization, test))
    expiring = statement_file(
        private_key(Stage.TEST, AMERICAS, "portal-signing"),
        approval(organization, connection, test=reference, expires=at(NOW + timedelta(hours=1))),
        digest_of(sample(Stage.TEST), organization, connection),
    )
    files = (*without(given, "lakeside-production/approval").statements, expiring)
    async with deciding(place, Stage.PRODUCTION, replace(given, statements=files)) as here:
        await here.refresh()
        assert (await here.serving()).allowed
        here.clock.passes(hours=1)
        await here.refresh()
        assert (await here.answer())[1] == answer


async def test_a_decision_follows_the_clock_by_the_minute_and_the_second(place: Place) -> None:
    files = without(everything(), "lakeside-test/approval").statements
    expiring = approved_file(1, expires=at(NOW + timedelta(minutes=5)))
    async with deciding(place, Stage.TEST, Approvals((*files, expiring))) as here:
        for seconds, answer in ((299, ""), (1, "approval-expired")):
            here.clock.passes(seconds=seconds)
            await here.refresh()
            assert (await here.answer())[1] == answer


# --- serials ------------------------------------------------------------------------------------------------------


async def test_a_document_with_an_older_approval_is_refused_also_by_another_process(place: Place) -> None:
    newer = Approvals((*everything().statements, approved_file(2)))
    async with deciding(place, Stage.TEST, newer) as here:
        await here.refresh()
        assert (await here.serving()).allowed
        assert ("lakeside-test", 2) in here.rows("SELECT connection_id, serial FROM connector.highest_serial")
        rolled_back = here.restarted(everything())
        await rolled_back.refresh()
        assert await rolled_back.answer() == ("connection-not-approved", "serial-rolled-back")
        assert ("lakeside-test", 2) in here.rows("SELECT connection_id, serial FROM connector.highest_serial")


async def test_serials_of_another_organisations_approval_are_not_remembered(place: Place) -> None:
    organization, connection = lakeside()
    other = approval(organization.model_copy(update={"id": "prairie"}), connection, serial=9)
    foreign = statement_file(private_key(Stage.TEST, AMERICAS, "portal-signing"), other, "0" * 64)
    async with deciding(place, Stage.TEST, Approvals((*everything().statements, foreign))) as here:
        await here.refresh()
        assert (await here.serving()).allowed
        seen = here.rows("SELECT serial FROM connector.highest_serial WHERE connection_id = 'lakeside-test'")
        assert seen == [(1,)]


# --- what is recorded ---------------------------------------------------------------------------------------------


async def _record(here: Deciding, file: StatementFile, connection: str = "lakeside-test") -> None:
    async with here.services.database.transaction() as database:
        await record(database, file, "lakeside", connection, StatementType.APPROVAL)


@pytest.fixture
def as_portal(place: Place) -> Any:
    """Only the portal and the worker may record; these tests log in as the application."""
    with place.postgres.administrator(place.database) as connection:
        connection.execute("GRANT INSERT ON connector.statement TO connector_application")
        yield
        connection.execute("REVOKE INSERT ON connector.statement FROM connector_application")


@pytest.mark.usefixtures("as_portal")
async def test_in_test_what_the_portal_recorded_counts_at_the_next_launch(place: Place) -> None:
    async with deciding(place, Stage.TEST, without(everything(), "lakeside-test/approval")) as here:
        await here.refresh()
        assert await here.answer() == ("connection-not-approved", "approval-missing")
        await _record(here, approved_file(1))
        assert await here.answer() == ("", "")
        await _record(here, approved_file(2, Verdict.REFUSE))
        assert await here.answer() == ("connection-not-approved", "approval-refused")


@pytest.mark.usefixtures("as_portal")
async def test_one_statement_deployed_and_recorded_is_one(place: Place) -> None:
    given = everything()
    async with deciding(place, Stage.TEST, given) as here:
        (deployed,) = [s for s in given.statements if "lakeside-test/approval" in s.path]
        await _record(here, deployed)
        await here.refresh()
        assert (await here.serving()).allowed


@pytest.mark.usefixtures("as_portal")
async def test_a_recorded_statement_counts_only_with_its_signature(place: Place) -> None:
    async with deciding(place, Stage.TEST, without(everything(), "lakeside-test/approval")) as here:
        stranger = private_key(Stage.TEST, GeographyName.EMEA, "portal-signing")
        organization, connection = lakeside()
        digest = digest_of(sample(Stage.TEST), organization, connection)
        await _record(here, statement_file(stranger, approval(organization, connection), digest))
        await here.refresh()
        assert await here.answer() == ("connection-not-approved", "key-scope")


@pytest.mark.usefixtures("as_portal")
async def test_production_ignores_what_is_recorded(place: Place) -> None:
    given = everything()
    async with deciding(place, Stage.PRODUCTION, without(given, "lakeside-production/approval")) as here:
        await here.refresh()
        (file,) = [s for s in given.statements if "lakeside-production/approval" in s.path]
        await _record(here, file, "lakeside-production")
        await here.services.standing.catch_up(here.services)
        await here.refresh()
        assert await here.answer() == ("connection-not-approved", "approval-missing")


# --- emergencies, and what is away --------------------------------------------------------------------------------


async def test_broken_glass_is_said_each_minute_for_as_long_as_it_is_in_force(place: Place) -> None:
    organization, connection = lakeside()
    glass = BreakGlass(
        form=1,
        organization="lakeside",
        geography=AMERICAS,
        stage=Stage.TEST,
        connection="lakeside-test",
        waives=("approval-missing",),
        reason="the portal is down",
        issued_by=Account(tenant_id=organization.tenant_id, object_id=connection.approver.object_id),
        issued=at(NOW),
        expires=at(NOW + timedelta(hours=2)),
    )
    key = private_key(Stage.TEST, AMERICAS, "revocation-signing")
    broken = statement_file(key, glass, digest_of(sample(Stage.TEST), organization, connection))
    files = without(everything(), "lakeside-test/approval").statements
    async with deciding(place, Stage.TEST, Approvals((*files, broken)), role="worker") as here:
        for _ in range(2):
            with capture_logs() as logs:
                await here.refresh()
            assert events(logs, "break-glass") == ["break-glass"]
            assert (await here.serving()).allowed
            assert here.rows("SELECT count(*) FROM connector.audit WHERE action = 'break-glass-in-force'") == [(1,)]
        here.clock.passes(hours=2)
        with capture_logs() as logs:
            await here.refresh()
        assert events(logs, "break-glass") == []
        assert await here.answer() == ("connection-not-approved", "approval-missing")


async def test_while_the_database_is_away_the_standing_stays_as_it_was(place: Place) -> None:
    async with deciding(place, Stage.PRODUCTION, everything()) as here:
        assert await decide_once(here.services)
        await here.services.database.close()
        with pytest.raises(DatabaseUnavailable):
            await here.refresh()
        assert not await decide_once(here.services)
        assert (await here.serving()).allowed


async def test_deciding_goes_on_after_something_that_nobody_foresaw(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deciding(place, Stage.TEST, everything()) as here:

        async def breaks(_: object, __: object) -> None:
            raise LookupError("nobody foresaw this")

        with monkeypatch.context() as patched, capture_logs() as logs:
            patched.setattr("runtime.promotion.revocations.hold", breaks)
            assert not await decide_once(here.services)
        assert [line["error"] for line in logs] == ["LookupError"]
        assert await decide_once(here.services)


# --- revocations --------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("served", [True, False])
async def test_a_published_revocation_stops_launches(place: Place, stage: Stage, served: bool) -> None:
    async with deciding(place, stage, everything(served=served)) as here:
        await here.refresh()
        assert (await here.serving()).allowed
        here.storage.publish(here.list_of(2, here.connection))
        await here.refresh()
        assert await here.answer() == ("connection-withdrawn", "revoked")
        here.storage.publish(here.list_of(3))
        await here.refresh()
        assert (await here.serving()).allowed, "taken back"


def _garbled(file: StatementFile) -> StatementFile:
    return replace(file, content=file.content.replace(b'"sig":"M', b'"sig":"N', 1))


def _refused_lists(here: Deciding) -> dict[str, tuple[StatementFile, str]]:
    elsewhere = here.list_of(7, geography=GeographyName.EMEA)
    list_of_emea = revocations(GeographyName.EMEA, here.stage, version=7)
    other_stage = next(s for s in Stage if s is not here.stage)
    own = private_key(here.stage, AMERICAS, "revocation-signing")
    return {
        "older": (here.list_of(4), "revocations-older"),
        "another of that version": (here.list_of(5, issued=at(NOW - timedelta(minutes=1))), "revocations-older"),
        "expired": (here.list_of(7, issued=at(NOW - timedelta(days=2)), expires=at(NOW)), "revocations-stale"),
        "of tomorrow": (here.list_of(7, issued=at(NOW + timedelta(seconds=1))), "revocations-not-yet"),
        "of another geography": (elsewhere, "revocations-elsewhere"),
        "of another geography, by our key": (statement_file(own, list_of_emea), "key-scope"),
        "of another stage": (
            statement_file(own, revocations(AMERICAS, other_stage, version=7)),
            "revocations-elsewhere",
        ),
        "of a key for something else": (
            statement_file(
                private_key(Stage.TEST, AMERICAS, "portal-signing"), revocations(AMERICAS, here.stage, version=7)
            ),
            "key-type",
        ),
        "with a bad signature": (_garbled(here.list_of(7)), "signature-invalid"),
        "no statement": (StatementFile("", b"{}"), "statement-malformed"),
        "an approval": (approved_file(1), "statement-type"),
    }


NAMES = (
    "older",
    "another of that version",
    "expired",
    "of tomorrow",
    "of another geography",
    "of another geography, by our key",
    "of another stage",
    "of a key for something else",
    "with a bad signature",
    "no statement",
    "an approval",
)


@BOTH
@pytest.mark.parametrize("name", NAMES)
async def test_a_list_that_does_not_count_is_refused_aloud_and_the_last_good_one_kept(
    place: Place, stage: Stage, name: str
) -> None:
    async with deciding(place, stage, everything()) as here:
        here.storage.publish(here.list_of(5, here.connection))
        await here.refresh()
        found, code = _refused_lists(here)[name]
        here.storage.publish(found)
        with capture_logs() as logs:
            await here.refresh()
        assert events(logs, "revocations-refused") == [code]
        assert here.version == 5
        assert await here.answer() == ("connection-withdrawn", "revoked")


@BOTH
async def test_while_the_channel_is_away_the_last_good_list_is_kept_also_by_another_process(
    place: Place, stage: Stage
) -> None:
    async with deciding(place, stage, everything()) as here:
        here.storage.publish(here.list_of(2, here.connection))
        await here.refresh()
        here.storage.down = True
        for process in (here, here.restarted(), here.restarted(without(everything(), NO_LIST))):
            with capture_logs() as logs:
                await process.refresh()
            assert len(events(logs, "revocations-unreachable")) == 1
            assert (process.version, await process.answer()) == (2, ("connection-withdrawn", "revoked"))


@pytest.mark.parametrize("way", ["down", "forbids"])
async def test_whoever_never_held_a_list_and_cannot_read_one_serves_nobody(place: Place, way: str) -> None:
    async with deciding(place, Stage.PRODUCTION, without(everything(served=True), NO_LIST)) as here:
        setattr(here.storage, way, True)
        with capture_logs() as logs:
            await here.refresh()
        assert len(events(logs, "revocations-never-held")) == 1
        assert await here.answer() == ("connection-withdrawn", "revocations-never-held")
        setattr(here.storage, way, False)
        here.storage.publish(here.list_of(1))
        await here.refresh()
        assert (await here.serving()).allowed


async def test_a_list_that_was_taken_away_is_still_held(place: Place) -> None:
    async with deciding(place, Stage.TEST, everything()) as here:
        here.storage.publish(here.list_of(2, here.connection))
        await here.refresh()
        here.storage.publish(None)
        with capture_logs() as logs:
            await here.refresh()
        assert len(events(logs, "revocations-missing")) == 1
        assert await here.answer() == ("connection-withdrawn", "revoked")


async def test_a_deployed_list_does_not_bring_back_what_was_revoked_since(place: Place) -> None:
    async with deciding(place, Stage.TEST, everything()) as here:
        here.storage.publish(here.list_of(2, here.connection))
        await here.refresh()
        again = here.restarted(everything())
        with capture_logs() as logs:
            await again.refresh()
        assert events(logs, "revocations-refused") == [], "an older list in a deployment is as it should be"
        assert await again.answer() == ("connection-withdrawn", "revoked")


@pytest.mark.parametrize(("served", "answer"), [(True, ""), (False, "revocations-stale")])
async def test_a_list_that_grew_stale_is_said_each_minute_and_stops_only_what_is_new(
    place: Place, served: bool, answer: str
) -> None:
    async with deciding(place, Stage.PRODUCTION, everything(served=served)) as here:
        await here.refresh()
        here.clock.passes(days=7)
        for _ in range(2):
            with capture_logs() as logs:
                await here.refresh()
            assert events(logs, "revocations-stale") == ["revocations-stale"]
        assert (await here.answer())[1] == answer


async def test_a_list_that_somebody_put_into_the_database_counts_only_with_its_signature(place: Place) -> None:
    async with deciding(place, Stage.TEST, without(everything(), NO_LIST)) as here:
        forged = sign(private_key(Stage.TEST, AMERICAS, "worker-signing"), b"{}").decode()
        here.execute("INSERT INTO connector.revocation_list (content, version) VALUES (%s, 99)", forged)
        with capture_logs() as logs:
            await here.refresh()
        assert events(logs, "revocations-refused") == ["statement-malformed"]
        assert await here.answer() == ("connection-not-approved", "revocations-never-held")


@pytest.mark.parametrize("how", ["deleted", "older", "forged"])
async def test_who_changes_the_list_in_the_database_changes_nothing_for_who_holds_it_and_it_is_put_right(
    place: Place, how: str
) -> None:
    async with deciding(place, Stage.TEST, everything()) as here:
        here.storage.publish(here.list_of(2, here.connection))
        await here.refresh()
        here.storage.publish(here.list_of(1))
        change = {"deleted": (None, 0), "older": (here.list_of(1).content.decode(), 1), "forged": ("{}", 99)}[how]
        here.execute("DELETE FROM connector.revocation_list")
        if change[0] is not None:
            here.execute("INSERT INTO connector.revocation_list (content, version) VALUES (%s, %s)", *change)
        await here.refresh()
        assert await here.answer() == ("connection-withdrawn", "revoked")
        assert here.rows("SELECT version FROM connector.revocation_list") == [(2,)]


@pytest.mark.parametrize(("role", "changes"), [("worker", ["revoked", "approved"]), ("application", [])])
async def test_the_worker_records_each_change_of_a_decision_once(place: Place, role: str, changes: list[str]) -> None:
    async with deciding(place, Stage.TEST, everything(), role=role) as here:
        await here.refresh()
        for version, revoked in ((2, ["lakeside-test"]), (3, []), (4, [])):
            here.storage.publish(here.list_of(version, *revoked))
            await here.refresh()
        rows = here.rows("SELECT connection_id, detail FROM connector.audit WHERE action = 'decision-changed'")
        assert rows == [("lakeside-test", change) for change in changes]


async def test_a_newer_list_is_recorded_in_the_audit_once(place: Place) -> None:
    async with deciding(place, Stage.TEST, everything()) as here:
        here.storage.publish(here.list_of(2))
        for process in (here, here, here.restarted()):
            await process.refresh()
        held = here.rows("SELECT detail FROM connector.audit WHERE action = 'revocations-held'")
        assert held == [("version-2",)]
        assert here.rows("SELECT version FROM connector.revocation_list") == [(2,)]
