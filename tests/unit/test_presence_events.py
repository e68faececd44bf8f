"""Reading call events, and the pseudonyms under which a visit knows people."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.meeting.events import CallEventInvalid, parse_call_event
from runtime.visit.key import external_id, patient_hash, person_hash, visit_key
from runtime.visit.presence import Presence
from schemas.vocabulary import VisitKind

KEY = bytes(range(32))
EXAMPLE = {
    "@odata.type": "#microsoft.graph.callEvent",
    "id": "n-1",
    "eventType": "rosterUpdated",
    "eventDateTime": "2026-01-05T14:00:07Z",
    "participants@delta": [
        {"id": "p-7", "isInLobby": True, "info": {"identity": {"guest": {"id": "g-1"}}}},
        {
            "id": "p-3",
            "isInLobby": False,
            "removedState": {"reason": "left"},
            "info": {"identity": {"user": {"id": "u-1", "tenantId": "t-1"}}},
        },
    ],
}


def test_the_documented_example_is_read() -> None:
    event = parse_call_event(json.dumps(EXAMPLE).encode())
    assert (event.id, event.kind, event.at) == ("n-1", "roster", datetime(2026, 1, 5, 14, 0, 7, tzinfo=UTC))
    assert [(line.id, line.presence) for line in event.lines] == [("p-7", Presence.WAITING), ("p-3", Presence.LEFT)]
    first, second = event.lines
    assert first.identity is not None
    assert second.identity is not None
    assert (first.identity.kind, second.identity.tenant_id) == ("guest", "t-1")


@pytest.mark.parametrize("missing", ["id", "eventType", "eventDateTime"])
def test_an_event_without_what_orders_it_is_invalid(missing: str) -> None:
    with pytest.raises(CallEventInvalid):
        parse_call_event(json.dumps({k: v for k, v in EXAMPLE.items() if k != missing}).encode())


def test_an_event_type_that_merely_contains_a_known_name_is_not_it() -> None:
    event = parse_call_event(json.dumps({**EXAMPLE, "eventType": "notcallEnded"}).encode())
    assert event.kind == "other"


def test_display_names_decide_nothing() -> None:
    named = json.loads(json.dumps(EXAMPLE))
    for line in named["participants@delta"]:
        line["info"]["identity"] = {
            k: {**v, "displayName": "Dr. Somebody"} for k, v in line["info"]["identity"].items()
        }
    assert parse_call_event(json.dumps(named).encode()) == parse_call_event(json.dumps(EXAMPLE).encode())


FIELDS = st.tuples(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5))


@given(FIELDS, FIELDS)
def test_no_two_visits_share_a_key(a: tuple[str, str, str], b: tuple[str, str, str]) -> None:
    first = visit_key(KEY, a[0], a[1], VisitKind.ONE_TO_ONE, a[2])
    second = visit_key(KEY, b[0], b[1], VisitKind.ONE_TO_ONE, b[2])
    assert (first == second) == (a == b)


def test_fields_do_not_run_into_one_another() -> None:
    assert visit_key(KEY, "ab", "c", VisitKind.ONE_TO_ONE, "d") != visit_key(KEY, "a", "bc", VisitKind.ONE_TO_ONE, "d")


def test_a_person_has_another_pseudonym_in_another_visit() -> None:
    one, two = b"1" * 32, b"2" * 32
    assert person_hash(KEY, one, "user", "t", "o") != person_hash(KEY, two, "user", "t", "o")
    assert person_hash(KEY, one, "user", "T", "O") == person_hash(KEY, one, "user", "t", "o")
    assert patient_hash(KEY, one, "p") != person_hash(KEY, one, "user", "", "p")
    assert external_id(one).isalnum()
    assert len(external_id(one)) == 26
