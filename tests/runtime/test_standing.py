"""Whom a runtime serves: from what is deployed, recorded and held, at the start and each minute after it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from runtime.bootstrap import anchors
from runtime.errors import DatabaseUnavailable
from runtime.promotion.minutely import decide_once
from runtime.promotion.standing import why_not_served
from schemas.promotion.approvals import Approvals
from schemas.promotion.decide import Approved
from schemas.promotion.envelope import StatementFile
from schemas.promotion.statement import Account, BreakGlass, ConnectionReference, Verdict, at
from schemas.promotion.trust import Trust
from schemas.vocabulary import Cloud, GeographyName, RuntimeRole, Stage
from tests.support.launching import Place
from tests.support.standing import (
    AMERICAS,
    Deciding,
    approved_file,
    deciding,
    events,
    everything,
    lakeside,
    sample,
    without,
)
from tests.support.statements import (
    NOW,
    approval,
    digest_of,
    private_key,
    statement_file,
)

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("stage", list(Stage))
NO_LIST = "approvals/revocations/"


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
        assert [r.code for r in why_not_served(standing.decision("prairie-production"))] == ["approval-missing"]
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


def _record(here: Deciding, file: StatementFile, connection: str = "lakeside-test") -> None:
    """As the portal does."""
    here.execute(
        """INSERT INTO connector.statement (path, organization_id, connection_id, kind, content)
           VALUES (%s, 'lakeside', %s, 'approval', %s)""",
        file.path,
        connection,
        file.content.decode(),
    )


async def test_in_test_what_the_portal_recorded_counts_at_the_next_launch(place: Place) -> None:
    async with deciding(place, Stage.TEST, without(everything(), "lakeside-test/approval")) as here:
        await here.refresh()
        assert await here.answer() == ("connection-not-approved", "approval-missing")
        _record(here, approved_file(1))
        assert await here.answer() == ("", "")
        _record(here, approved_file(2, Verdict.REFUSE))
        assert await here.answer() == ("connection-not-approved", "approval-refused")


async def test_one_statement_deployed_and_recorded_is_one(place: Place) -> None:
    given = everything()
    async with deciding(place, Stage.TEST, given) as here:
        (deployed,) = [s for s in given.statements if "lakeside-test/approval" in s.path]
        _record(here, deployed)
        await here.refresh()
        assert (await here.serving()).allowed


async def test_a_recorded_statement_counts_only_with_its_signature(place: Place) -> None:
    async with deciding(place, Stage.TEST, without(everything(), "lakeside-test/approval")) as here:
        stranger = private_key(Stage.TEST, GeographyName.EMEA, "portal-signing")
        organization, connection = lakeside()
        digest = digest_of(sample(Stage.TEST), organization, connection)
        _record(here, statement_file(stranger, approval(organization, connection), digest))
        await here.refresh()
        assert await here.answer() == ("connection-not-approved", "key-scope")


async def test_production_ignores_what_is_recorded(place: Place) -> None:
    given = everything()
    async with deciding(place, Stage.PRODUCTION, without(given, "lakeside-production/approval")) as here:
        await here.refresh()
        (file,) = [s for s in given.statements if "lakeside-production/approval" in s.path]
        _record(here, file, "lakeside-production")
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
    async with deciding(place, Stage.TEST, Approvals((*files, broken))) as here:
        for _ in range(2):
            with capture_logs() as logs:
                await here.refresh()
            assert events(logs, "break-glass") == ["break-glass"]
            assert [line["log_level"] for line in logs if line["event"] == "break-glass"] == ["error"]
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


@pytest.mark.parametrize(
    ("role", "changes"), [(RuntimeRole.WORKER, ["revoked", "approved"]), (RuntimeRole.APPLICATION, [])]
)
async def test_the_worker_records_each_change_of_a_decision_once(
    place: Place, role: RuntimeRole, changes: list[str]
) -> None:
    async with deciding(place, Stage.TEST, everything(), role=role) as here:
        await here.refresh()
        for version, revoked in ((2, ["lakeside-test"]), (3, []), (4, [])):
            here.storage.publish(here.list_of(version, *revoked))
            await here.refresh()
        rows = here.rows("SELECT connection_id, detail FROM connector.audit WHERE action = 'decision-changed'")
        assert rows == [("lakeside-test", change) for change in changes]
