"""The picture in the documents is what the program emits now, and stays readable when there is more of everything."""

from dataclasses import replace

import pytest

from tests.picture import (
    BEGIN,
    DOCUMENTS,
    GEOGRAPHY,
    INSIDE,
    STACK,
    UNDRAWN,
    drawn,
    kind,
    written,
)
from tests.support.program import Emitted, sample
from tests.support.samples import ROOT

MOST_NODES = 35


def resources() -> list[Emitted]:
    return sample(STACK).resources


def nodes(picture: str) -> list[str]:
    return [line.strip().partition("[")[0] for line in picture.splitlines() if '["' in line]


def one(type_: str) -> Emitted:
    return next(r for r in resources() if kind(r) == type_ and r.name.startswith(f"{GEOGRAPHY}-"))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_picture_in_a_document_is_of_what_the_program_emits_now(name: str) -> None:
    document = (ROOT / name).read_text("utf-8")
    assert written(document, drawn(resources(), GEOGRAPHY)) == document, "run: make picture"


def test_every_type_is_in_the_picture_but_what_everything_refers_to() -> None:
    emitted = {kind(r) for r in resources() if r.custom}
    drawn_types = {INSIDE.get(t, t) for t in emitted} - UNDRAWN
    boxes = nodes(drawn(resources(), GEOGRAPHY))
    assert {t for t in drawn_types if not any(b.startswith(t.lower().replace(":", "_")) for b in boxes)} == set()
    assert len(boxes) <= MOST_NODES


def test_arrows_lead_from_box_to_box_and_never_to_the_same() -> None:
    picture = drawn(resources(), GEOGRAPHY)
    boxes = set(nodes(picture))
    arrows = [tuple(line.split(" --> ")) for line in map(str.strip, picture.splitlines()) if " --> " in line]
    assert arrows
    assert all(a != b and {a, b} <= boxes for a, b in arrows)
    assert ("app_managedenvironment", "network_subnet_apps") in arrows


def test_what_there_is_much_of_is_counted_in_one_box() -> None:
    assignment = one("authorization:RoleAssignment")
    more = [replace(assignment, name=f"{GEOGRAPHY}-more-{n}", urn=f"{assignment.urn}-{n}") for n in range(100)]
    before = drawn(resources(), GEOGRAPHY)
    after = drawn([*resources(), *more], GEOGRAPHY)
    assert nodes(after) == nodes(before)
    count = sum(kind(r) == "authorization:RoleAssignment" for r in resources() if r.name.startswith(GEOGRAPHY))
    assert f"role assignment × {count + 100}" in after


@pytest.mark.parametrize(
    ("type_", "part"), [("network:NatThing", "network"), ("app:Thing", "apps"), ("quantum:Thing", "watch")]
)
def test_a_type_that_nobody_described_has_a_box_in_the_part_of_its_namespace(type_: str, part: str) -> None:
    new = replace(one("network:VirtualNetwork"), type=f"azure-native:{type_}", urn="urn:new")
    picture = drawn([*resources(), new], GEOGRAPHY)
    inside = picture.partition(f"subgraph {part}[")[2].partition("end\n")[0]
    assert type_.lower().replace(":", "_") in nodes(inside)


def test_another_geography_is_not_in_the_picture() -> None:
    others = [r for r in resources() if r.name.split("-")[0] != GEOGRAPHY]
    assert others
    assert nodes(drawn(others, GEOGRAPHY)) == []


def test_a_document_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="expected <!-- picture"):
        written(f"{BEGIN} without an end", "flowchart LR")


def test_resources_with_a_box_each_are_named() -> None:
    picture = drawn(resources(), GEOGRAPHY)
    for subnet in ("apps", "database", "private endpoints"):
        assert f'["<b>subnet</b><br/>{subnet}"]' in picture
