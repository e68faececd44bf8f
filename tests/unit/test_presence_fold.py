"""Presence: order and number of events do not matter, the lobby is not connected, the call's end disconnects all."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.visit.presence import Connection, Presence, Roster, Sighting, Sightings, Transition, fold

START = datetime(2026, 1, 5, 14, 0, tzinfo=UTC)
ANA, BEN = b"ana", b"ben"


def at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def seen(seconds: int, entry: bytes, presence: Presence, person: bytes | None = None) -> Sightings:
    return Sightings(at(seconds), (Sighting(entry, person or entry, presence),))


def ended(seconds: int) -> Sightings:
    return Sightings(at(seconds), ends_call=True)


def run(*events: Sightings) -> tuple[Roster, list[Transition]]:
    roster, transitions = Roster(), list[Transition]()
    for event in events:
        roster, found = fold(roster, event)
        transitions += found
    return roster, transitions


def told(transitions: list[Transition]) -> list[tuple[bytes, Connection]]:
    return [(t.who, t.connection) for t in transitions]


def test_waiting_in_the_lobby_is_not_connected() -> None:
    roster, transitions = run(seen(1, ANA, Presence.WAITING))
    assert (roster.connected(), transitions) == (frozenset(), [])


def test_an_admitted_participant_is_connected_once() -> None:
    _, transitions = run(
        seen(1, ANA, Presence.WAITING), seen(2, ANA, Presence.CONNECTED), seen(3, ANA, Presence.CONNECTED)
    )
    assert told(transitions) == [(ANA, Connection.CONNECTED)]


def test_leaving_from_the_lobby_tells_the_ehr_nothing() -> None:
    _, transitions = run(seen(1, ANA, Presence.WAITING), seen(2, ANA, Presence.LEFT))
    assert transitions == []


def test_the_end_of_the_call_disconnects_everybody_connected() -> None:
    roster, transitions = run(seen(1, ANA, Presence.CONNECTED), seen(2, BEN, Presence.CONNECTED), ended(3))
    assert roster.ended
    assert told(transitions)[2:] == [(ANA, Connection.DISCONNECTED), (BEN, Connection.DISCONNECTED)]


def test_an_older_event_that_comes_late_changes_nothing() -> None:
    roster, _ = run(seen(5, ANA, Presence.LEFT), seen(2, ANA, Presence.WAITING))
    assert [p.presence for p in roster.people()] == [Presence.LEFT]


def test_a_connection_learnt_of_after_its_end_is_told_as_connect_and_disconnect() -> None:
    _, transitions = run(seen(5, ANA, Presence.LEFT), seen(2, ANA, Presence.CONNECTED))
    assert told(transitions) == [(ANA, Connection.CONNECTED), (ANA, Connection.DISCONNECTED)]


def test_a_person_with_two_devices_disconnects_with_the_last_one() -> None:
    phone = seen(1, b"phone", Presence.CONNECTED, ANA)
    desk = seen(2, b"desk", Presence.CONNECTED, ANA)
    _, first = run(phone, desk, seen(3, b"phone", Presence.LEFT, ANA))
    assert told(first) == [(ANA, Connection.CONNECTED)]
    _, both = run(phone, desk, seen(3, b"phone", Presence.LEFT, ANA), seen(4, b"desk", Presence.LEFT, ANA))
    assert told(both) == [(ANA, Connection.CONNECTED), (ANA, Connection.DISCONNECTED)]


def test_a_leave_event_that_names_nobody_ends_the_line_of_who_was_there() -> None:
    gone = Sightings(at(2), (Sighting(b"line", None, Presence.LEFT),))
    _, transitions = run(seen(1, b"line", Presence.CONNECTED, ANA), gone)
    assert told(transitions) == [(ANA, Connection.CONNECTED), (ANA, Connection.DISCONNECTED)]


def test_coming_back_after_the_end_reopens_the_call_and_leaving_late_does_not() -> None:
    back, _ = run(seen(1, ANA, Presence.CONNECTED), ended(2), seen(3, ANA, Presence.CONNECTED))
    late, _ = run(seen(1, ANA, Presence.CONNECTED), ended(2), seen(3, ANA, Presence.LEFT))
    assert (back.ended, late.ended) == (False, True)


def on_device(second: int, person: bytes, device: bytes, presence: Presence) -> Sightings:
    return seen(second, person + device, presence, person)


PEOPLE, DEVICES = st.sampled_from([ANA, BEN]), st.sampled_from([b"/1", b"/2"])
SECONDS = st.integers(0, 12)
EVENTS = st.lists(
    st.one_of(
        st.builds(on_device, SECONDS, PEOPLE, DEVICES, st.sampled_from(list(Presence))), st.builds(ended, SECONDS)
    ),
    max_size=14,
)


@st.composite
def disordered(draw: st.DrawFn) -> tuple[list[Sightings], list[Sightings]]:
    events = draw(EVENTS)
    again = draw(st.lists(st.sampled_from(events), max_size=6)) if events else []
    return events, draw(st.permutations(events + again))


def facts(roster: Roster) -> object:
    lines = {k: (v.presence, v.event_time, v.who, v.ever_connected) for k, v in roster.lines.items()}
    return lines, roster.call_ended_at, roster.connected(), roster.ended


@given(disordered())
@settings(max_examples=400, deadline=None)
def test_disorder_and_duplicates_lead_to_the_same_presence(streams: tuple[list[Sightings], list[Sightings]]) -> None:
    assert facts(run(*streams[0])[0]) == facts(run(*streams[1])[0])


@given(disordered())
@settings(max_examples=400, deadline=None)
def test_what_is_told_alternates_and_ends_with_the_truth(streams: tuple[list[Sightings], list[Sightings]]) -> None:
    roster, transitions = run(*streams[1])
    for person in (ANA, BEN):
        mine = [t.connection for t in transitions if t.who == person]
        assert mine[::2] == [Connection.CONNECTED] * len(mine[::2])
        assert mine[1::2] == [Connection.DISCONNECTED] * len(mine[1::2])
        assert (len(mine) % 2 == 1) == (person in roster.connected())
        assert bool(mine) == (person in roster.ever_connected())


@given(EVENTS)
@settings(max_examples=100, deadline=None)
def test_the_same_event_again_tells_nothing(events: list[Sightings]) -> None:
    roster, _ = run(*events)
    for event in events:
        after, transitions = fold(roster, event)
        assert transitions == ()
        assert facts(after) == facts(roster)
