"""Which list of revocations a runtime holds: the newest that counts, from wherever it comes, whatever is away."""

from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from schemas.promotion.envelope import StatementFile
from schemas.promotion.statement import at
from schemas.vocabulary import GeographyName, RuntimeRole, Stage
from tests.support.launching import Place
from tests.support.standing import (
    AMERICAS,
    Deciding,
    approved_file,
    deciding,
    events,
    everything,
    without,
)
from tests.support.statements import (
    NOW,
    private_key,
    revocations,
    sign,
    statement_file,
)

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("stage", list(Stage))
NO_LIST = "approvals/revocations/"


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


@pytest.mark.parametrize(("how", "left"), [("deleted", 2), ("older", 2), ("forged", 2), ("forged and higher", 99)])
async def test_who_changes_the_list_in_the_database_changes_nothing_for_who_holds_it_and_it_is_put_right(
    place: Place, how: str, left: int
) -> None:
    """Where its version is higher nobody but the owner of the tables puts it right."""
    async with deciding(place, Stage.TEST, everything()) as here:
        here.storage.publish(here.list_of(2, here.connection))
        await here.refresh()
        here.storage.publish(here.list_of(1))
        here.execute("DELETE FROM connector.revocation_list")
        put = {"older": (here.list_of(1).content.decode(), 1), "forged": ("{}", 2), "forged and higher": ("{}", 99)}
        if how in put:
            here.execute("INSERT INTO connector.revocation_list (content, version) VALUES (%s, %s)", *put[how])
        for _ in range(2):
            await here.refresh()
        assert await here.answer() == ("connection-withdrawn", "revoked")
        assert here.rows("SELECT version FROM connector.revocation_list") == [(left,)]


async def test_a_newer_list_is_recorded_in_the_audit_once(place: Place) -> None:
    async with deciding(place, Stage.TEST, everything()) as here:
        here.storage.publish(here.list_of(2))
        for process in (here, here, here.restarted()):
            await process.refresh()
        held = here.rows("SELECT detail FROM connector.audit WHERE action = 'revocations-held'")
        assert held == [("version-2",)]
        assert here.rows("SELECT version FROM connector.revocation_list") == [(2,)]


@pytest.mark.parametrize("role", [RuntimeRole.APPLICATION, RuntimeRole.PORTAL])
async def test_other_roles_hold_the_newest_list_and_leave_it_to_the_worker_to_keep_it(
    place: Place, role: RuntimeRole
) -> None:
    async with deciding(place, Stage.TEST, everything(), role=role) as here:
        here.storage.publish(here.list_of(2, here.connection))
        await here.refresh()
        assert (here.version, await here.answer()) == (2, ("connection-withdrawn", "revoked"))
        assert here.rows("SELECT version FROM connector.revocation_list") == []
        assert here.rows("SELECT serial FROM connector.highest_serial") == []
