"""Whatever is changed, removed, moved or cut off in an audit chain is found, also by whoever rewrites all of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.audit_chain import (
    KEPT_DAYS,
    ChainedRow,
    Finding,
    Flaw,
    Head,
    hashed_bytes,
    read_head,
    read_heads,
    row_time,
    verify_chain,
)
from schemas.audit_export import Export, ExportInvalid, about, read_lines, write_lines
from schemas.loading import load_stack
from schemas.promotion.envelope import StatementFile
from schemas.promotion.reasons import Code
from schemas.promotion.statement import payload
from schemas.promotion.trust import Trust
from schemas.vocabulary import GeographyName, Stage
from tests.support.audit_chains import (
    AMERICAS,
    TEST,
    chained,
    contents_of,
    head_file,
    head_files,
    heads_of,
    some_contents,
)
from tests.support.samples import text
from tests.support.statements import NOW, approval, digest_of, emulated_anchors, private_key, sign

EXPORTED = NOW
STACK = load_stack("Pulumi.local.yaml", text).stack
assert STACK is not None
TRUST = Trust(STACK.promotion.trusted_keys, emulated_anchors())

_texts = st.text(st.characters(codec="utf-8"), max_size=20)
_hashes = st.none() | st.binary(max_size=40).map(bytes.hex)
_times = st.datetimes(
    min_value=(NOW - timedelta(days=30)).replace(tzinfo=None), max_value=NOW.replace(tzinfo=None)
).map(lambda t: t.isoformat(timespec="microseconds") + "Z")
_content = st.fixed_dictionaries(
    {
        "id": st.integers(1, 2**53 - 1),
        "at": _times,
        "action": _texts,
        "organization_id": st.none() | _texts,
        "connection_id": st.none() | _texts,
        "actor": _hashes,
        "visit_key": _hashes,
        "detail": st.none() | _texts,
    }
)
_chains = st.lists(_content, min_size=2, max_size=12).map(chained)


def found(rows: list[ChainedRow], heads: list[Head]) -> list[Finding]:
    return list(verify_chain(rows, heads, EXPORTED))


def flaws(rows: list[ChainedRow], heads: list[Head]) -> dict[Flaw, int]:
    """Each flaw, with the sequence of its first finding."""
    first: dict[Flaw, int] = {}
    for finding in found(rows, heads):
        first.setdefault(finding.flaw, finding.sequence)
        assert not finding.sequence or str(finding.sequence) in finding.message, "a finding names its row"
    return first


def any_row(rows: list[ChainedRow], data: st.DataObject) -> int:
    return data.draw(st.integers(0, len(rows) - 1), label="row")


def another(row: ChainedRow, data: st.DataObject) -> ChainedRow:
    """The row with one field changed."""
    name = data.draw(st.sampled_from(sorted(set(ChainedRow.model_fields) - {"sequence"})), label="field")
    if name in ("previous_hash", "row_hash"):
        value = data.draw(st.binary(min_size=32, max_size=32).map(bytes.hex))
    else:
        value = data.draw(_content)[name]
    assume(value != getattr(row, name))
    return row.model_copy(update={name: value})


# --- rows -------------------------------------------------------------------------------------------------------


@given(_chains)
def test_a_whole_chain_below_its_head_has_no_flaw(rows: list[ChainedRow]) -> None:
    assert flaws(rows, heads_of(rows, 1, len(rows))) == {}


@given(_chains, st.data())
def test_any_change_of_one_row_is_found_at_that_row(rows: list[ChainedRow], data: st.DataObject) -> None:
    index = any_row(rows, data)
    heads = heads_of(rows, len(rows))
    rows[index] = another(rows[index], data)
    assert flaws(rows, heads)[Flaw.ROW_CHANGED] == index + 1


@given(_chains, st.data())
def test_a_changed_row_with_its_own_new_hash_is_found_at_the_next_or_by_its_head(
    rows: list[ChainedRow], data: st.DataObject
) -> None:
    index = any_row(rows, data)
    heads = heads_of(rows, len(rows))
    changed = another(rows[index], data)
    changed = changed.model_copy(update={"row_hash": changed.computed_hash()})
    assume(changed != rows[index])
    rows[index] = changed
    result = flaws(rows, heads)
    assert Flaw.ROW_CHANGED not in result
    if index + 1 < len(rows):
        assert result[Flaw.ROW_UNLINKED] in (index + 1, index + 2)
    else:
        assert result[Flaw.CHAIN_REWRITTEN] == index + 1


@given(_chains, st.data())
def test_any_removed_row_is_found(rows: list[ChainedRow], data: st.DataObject) -> None:
    index, last = any_row(rows, data), len(rows)
    heads = heads_of(rows, last)
    del rows[index]
    flaw = Flaw.START_MISSING if index == 0 else Flaw.END_MISSING if index == last - 1 else Flaw.ROWS_MISSING
    assert flaws(rows, heads) == {flaw: index + 1}


@given(_chains, st.data())
def test_any_rows_cut_off_at_the_end_are_found(rows: list[ChainedRow], data: st.DataObject) -> None:
    heads = heads_of(rows, len(rows))
    kept = rows[: any_row(rows, data)]
    assert flaws(kept, heads) == {Flaw.END_MISSING: len(rows)}


@given(_chains, st.data())
def test_any_two_rows_in_each_others_place_are_found(rows: list[ChainedRow], data: st.DataObject) -> None:
    one, other = any_row(rows, data), any_row(rows, data)
    assume(one != other)
    heads = heads_of(rows, len(rows))
    rows[one], rows[other] = rows[other], rows[one]
    assert Flaw.ROW_MISPLACED in flaws(rows, heads)


@given(_chains, st.data())
def test_a_repeated_row_is_found(rows: list[ChainedRow], data: st.DataObject) -> None:
    index = any_row(rows, data)
    again = [*rows[: index + 1], rows[index], *rows[index + 1 :]]
    assert flaws(again, heads_of(rows, len(rows))) == {Flaw.ROW_MISPLACED: index + 1}


@given(_chains, st.data())
def test_a_chain_rewritten_from_a_row_on_is_found_by_every_head_from_there(
    rows: list[ChainedRow], data: st.DataObject
) -> None:
    index = any_row(rows, data)
    contents = contents_of(rows)
    name = data.draw(st.sampled_from(sorted(contents[index])))
    value = data.draw(_content)[name]
    assume(value != contents[index][name])
    contents[index][name] = value
    rewritten = chained(contents)
    findings = found(rewritten, heads_of(rows, *range(1, len(rows) + 1)))
    assert {(f.flaw, f.sequence) for f in findings} == {
        (Flaw.CHAIN_REWRITTEN, sequence) for sequence in range(index + 1, len(rows) + 1)
    }


@given(_chains, st.data())
def test_a_chain_rewritten_without_one_row_is_found_by_its_heads(rows: list[ChainedRow], data: st.DataObject) -> None:
    contents = contents_of(rows)
    del contents[any_row(rows, data)]
    assert Flaw.END_MISSING in flaws(chained(contents), heads_of(rows, len(rows)))
    longer = chained([*contents, *some_contents(2)])
    assert Flaw.CHAIN_REWRITTEN in flaws(longer, heads_of(rows, len(rows))), "new rows do not hide it"


def test_a_rewritten_chain_is_found_though_the_worker_signed_its_new_head_too() -> None:
    rows = chained(some_contents(6))
    rewritten = chained([{**c, "action": "unlinked"} for c in contents_of(rows)])
    heads = [*heads_of(rows, 3), *heads_of(rewritten, 6)]
    assert flaws(rewritten, heads) == {Flaw.CHAIN_REWRITTEN: 3}


@given(_chains, st.data())
def test_no_two_rows_have_the_same_bytes(rows: list[ChainedRow], data: st.DataObject) -> None:
    row = rows[any_row(rows, data)]
    changed = another(row, data)
    assume(changed.model_copy(update={"row_hash": row.row_hash}) != row)
    assert hashed_bytes(changed) != hashed_bytes(row)


def test_the_bytes_are_those_of_the_documentation() -> None:
    row = ChainedRow(
        sequence=1,
        id=7,
        at="2026-06-01T12:00:00.000001Z",
        action="launched",
        organization_id="lakeside",
        actor="0aff",
        previous_hash="00" * 32,
        row_hash="00" * 32,
    )
    written = text("docs/audit.md").partition("```hex\n")[2].partition("```")[0]
    assert hashed_bytes(row).hex() == "".join(written.split())
    assert row.computed_hash() in text("docs/audit.md")


# --- what was purged, and what is not anchored yet ----------------------------------------------------------------


def test_rows_purged_behind_an_old_head_are_not_missed() -> None:
    began = NOW - timedelta(days=KEPT_DAYS + 10)
    rows = chained(some_contents(6, began))
    old = replace(heads_of(rows, 3)[0], issued=began + timedelta(minutes=1))
    assert flaws(rows[3:], [old, *heads_of(rows, 6)]) == {}


@pytest.mark.parametrize("days", [0, KEPT_DAYS - 30])
def test_young_rows_removed_behind_a_head_are_missed(days: int) -> None:
    rows = chained(some_contents(6))
    heads = [replace(heads_of(rows, 3)[0], issued=NOW - timedelta(days=days)), *heads_of(rows, 6)]
    assert flaws(rows[3:], heads) == {Flaw.START_MISSING: 3}


def test_old_rows_removed_up_to_no_head_are_missed() -> None:
    began = NOW - timedelta(days=KEPT_DAYS + 10)
    rows = chained(some_contents(6, began))
    assert flaws(rows[3:], [replace(heads_of(rows, 2)[0], issued=began), *heads_of(rows, 6)])[Flaw.START_MISSING] == 3


def test_a_chain_that_follows_on_something_unknown_is_found() -> None:
    rows = chained(some_contents(3), previous="11" * 32)
    assert flaws(rows, heads_of(rows, 3)) == {Flaw.ROW_UNLINKED: 1}


def test_young_rows_below_no_head_yet_are_no_flaw_and_old_ones_are() -> None:
    assert flaws(chained(some_contents(3, NOW - timedelta(minutes=5))), []) == {}
    rows = chained(some_contents(5, NOW - timedelta(minutes=16)))
    assert flaws(rows, heads_of(rows, 2)) == {Flaw.NOT_ANCHORED: 3}


def test_rows_that_never_came_into_the_chain_are_told() -> None:
    rows = chained(some_contents(2))
    findings = list(verify_chain(rows, heads_of(rows, 2), EXPORTED, 3))
    assert [str(f) for f in findings] == [
        "after row 2, 3 rows are not in the chain after more than 15 minutes [not-chained]"
    ]


# --- heads ------------------------------------------------------------------------------------------------------


def test_a_head_says_its_row_and_hash() -> None:
    (row,) = chained(some_contents(1))
    assert read_head(head_file(row), TRUST, AMERICAS, TEST) == Head(1, row.row_hash, NOW)


def of_another_key(code: Code, *key: str) -> Any:
    """A head that this key signed, whose statement is refused with the code."""
    return pytest.param({"key": key}, Flaw.HEAD_NOT_TRUSTED, marks=pytest.mark.rule(code))


@pytest.mark.parametrize(
    ("changes", "flaw"),
    [
        of_another_key(Code.KEY_TYPE, Stage.TEST, AMERICAS, "portal-signing"),
        of_another_key(Code.KEY_TYPE, Stage.TEST, AMERICAS, "revocation-signing"),
        of_another_key(Code.KEY_SCOPE, Stage.TEST, GeographyName.EMEA, "worker-signing"),
        of_another_key(Code.KEY_UNKNOWN, Stage.PRODUCTION, AMERICAS, "worker-signing"),
        ({"geography": GeographyName.EMEA}, Flaw.HEAD_ELSEWHERE),
        ({"stage": Stage.PRODUCTION, "key": (Stage.TEST, AMERICAS, "worker-signing")}, Flaw.HEAD_ELSEWHERE),
        ({"name": "americas-test/000000000002.json"}, Flaw.HEAD_ELSEWHERE),
        ({"name": "americas-test/1.json"}, Flaw.HEAD_ELSEWHERE),
        ({"name": "emea-test/000000000001.json"}, Flaw.HEAD_ELSEWHERE),
    ],
)
def test_a_head_of_another_key_chain_or_name_does_not_count(changes: dict[str, Any], flaw: Flaw) -> None:
    rows = chained(some_contents(2))
    heads, findings = read_heads([head_file(rows[1]), head_file(rows[0], **changes)], TRUST, AMERICAS, TEST)
    assert [head.sequence for head in heads] == [2]
    assert [finding.flaw for finding in findings] == [flaw]


def test_a_statement_of_another_type_is_no_head() -> None:
    assert STACK is not None
    organization = STACK.organizations[0]
    connection = organization.connections[0]
    key = private_key(Stage.TEST, organization.geography, "portal-signing")
    body = payload(approval(organization, connection), digest_of(STACK, organization, connection))
    file = StatementFile("americas-test/000000000001.json", sign(key, body))
    finding = read_head(file, TRUST, AMERICAS, TEST)
    assert isinstance(finding, Finding)
    assert finding.flaw is Flaw.HEAD_NOT_TRUSTED


@pytest.mark.rule(Code.STATEMENT_MALFORMED, Code.SIGNATURE_INVALID)
def test_a_head_changed_by_one_byte_does_not_count() -> None:
    (row,) = chained(some_contents(1))
    file = head_file(row)
    for index in range(len(file.content)):
        content = bytearray(file.content)
        content[index] ^= 1
        assert isinstance(read_head(StatementFile(file.path, bytes(content)), TRUST, AMERICAS, TEST), Finding)


# --- the file ---------------------------------------------------------------------------------------------------


@given(_chains, st.integers(0, 9))
def test_an_export_reads_as_it_was_written(rows: list[ChainedRow], late: int) -> None:
    files = head_files(rows, len(rows))
    start = about(AMERICAS, TEST, NOW)
    assert read_lines(write_lines(start, files, rows, late)) == Export(start, tuple(files), tuple(rows), late)


def _lines() -> list[bytes]:
    rows = chained(some_contents(3))
    return list(write_lines(about(AMERICAS, TEST, NOW), head_files(rows, 3), rows))


@pytest.mark.parametrize("removed", range(6))
def test_a_file_without_one_of_its_lines_is_refused(removed: int) -> None:
    lines = _lines()
    del lines[removed]
    with pytest.raises(ExportInvalid):
        read_lines(lines)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}\n",
        b"[]\n",
        b'{"row":null}\n',
        b'{"row":{}}\n',
        b"\xff\n",
        b'{"end":{"heads":1,"rows":3,"unchained":0}}\n',
    ],
)
def test_a_line_that_is_none_of_an_export_is_refused(line: bytes) -> None:
    lines = _lines()
    with pytest.raises(ExportInvalid):
        read_lines([*lines[:2], line, *lines[2:]])


def test_times_are_written_in_utc_to_the_microsecond() -> None:
    assert row_time(NOW + timedelta(microseconds=5)) == "2026-06-01T12:00:00.000005Z"
