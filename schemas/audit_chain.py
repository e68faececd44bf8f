"""The audit chain of a geography: which bytes each row's hash covers, and what a verifier finds wrong with a chain.

Owns the canonical bytes (`docs/audit.md`; the database computes the same in SQL, `runtime/migrations/`), the names of
anchored heads, and the verification of rows and heads together. Pure: rows, heads, trust and time come in, findings go
out. Findings name rows by their sequence and never repeat what stands in them.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from schemas.config_model import ConfigModel
from schemas.promotion.envelope import Rejected, StatementFile, verify
from schemas.promotion.statement import AuditHead, moment
from schemas.promotion.trust import Trust
from schemas.scalars import Sha256
from schemas.vocabulary import GeographyName, Stage

DOMAIN = b"teams-ehr-connector/audit/1\0"
BEFORE_THE_FIRST = "00" * 32
"""What stands as previous hash in the row of sequence 1."""

KEPT_DAYS = 6 * 366
"""Six years (45 CFR 164.316(b)(2)(i)), whatever leap days are in them."""

ANCHORED_WITHIN = timedelta(minutes=15)
"""The worker anchors each minute; a row that is older and below no head is not proved by anything."""

CLOCKS_DIFFER = timedelta(days=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def row_time(at: datetime) -> str:
    """A row's time as exports write it: UTC, six digits of fraction."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _real_time(text: str) -> str:
    datetime.fromisoformat(text)
    return text


_Integer = Annotated[int, Field(ge=1, le=2**53 - 1)]
_Hex = Annotated[str, StringConstraints(pattern=r"^(?:[0-9a-f]{2}){0,64}$")]
_Text = Annotated[str, StringConstraints(max_length=200)]
_RowTime = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$")
]


class ChainedRow(ConfigModel):
    """An audit row in its chain. `actor` and `visit_key` are keyed hashes, in hex like the chain's own."""

    sequence: _Integer
    id: _Integer
    at: Annotated[_RowTime, AfterValidator(_real_time)]
    action: _Text
    organization_id: _Text | None = None
    connection_id: _Text | None = None
    actor: _Hex | None = None
    visit_key: _Hex | None = None
    detail: _Text | None = None
    previous_hash: Sha256
    row_hash: Sha256

    @property
    def time(self) -> datetime:
        return datetime.fromisoformat(self.at)

    def computed_hash(self) -> str:
        return hashlib.sha256(hashed_bytes(self)).hexdigest()


def hashed_bytes(row: ChainedRow) -> bytes:
    """What a row's hash covers: domain, previous hash, and each field as presence, length and bytes."""
    fields: tuple[bytes | None, ...] = (
        _integer(row.sequence),
        _integer(row.id),
        _integer((row.time - _EPOCH) // _MICROSECOND),
        row.action.encode(),
        _text(row.organization_id),
        _text(row.connection_id),
        _binary(row.actor),
        _binary(row.visit_key),
        _text(row.detail),
    )
    return b"".join((DOMAIN, bytes.fromhex(row.previous_hash), *map(_prefixed, fields)))


def _integer(value: int) -> bytes:
    return struct.pack(">q", value)


def _text(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


def _binary(value: str | None) -> bytes | None:
    return None if value is None else bytes.fromhex(value)


def _prefixed(field: bytes | None) -> bytes:
    return b"\x00" if field is None else b"\x01" + struct.pack(">I", len(field)) + field


# --- heads ------------------------------------------------------------------------------------------------------


def heads_prefix(geography: GeographyName, stage: Stage) -> str:
    return f"{geography}-{stage}/"


def head_name(geography: GeographyName, stage: Stage, sequence: int) -> str:
    """The blob that anchors the head with this sequence."""
    return f"{heads_prefix(geography, stage)}{sequence:012d}.json"


@dataclass(frozen=True)
class Head:
    """A row's hash at a moment, signed by the worker and anchored outside the database."""

    sequence: int
    row_hash: str
    issued: datetime


class Flaw(StrEnum):
    """What can be wrong, one each."""

    ROW_CHANGED = "row-changed"
    ROW_UNLINKED = "row-unlinked"
    ROWS_MISSING = "rows-missing"
    ROW_MISPLACED = "row-misplaced"
    START_MISSING = "start-missing"
    END_MISSING = "end-missing"
    CHAIN_REWRITTEN = "chain-rewritten"
    NOT_CHAINED = "not-chained"
    NOT_ANCHORED = "not-anchored"
    HEAD_NOT_TRUSTED = "head-not-trusted"
    HEAD_ELSEWHERE = "head-elsewhere"


@dataclass(frozen=True)
class Finding:
    """One thing wrong, at or before the row with that sequence."""

    flaw: Flaw
    sequence: int
    message: str

    def __str__(self) -> str:
        return f"{self.message} [{self.flaw}]"


def read_head(file: StatementFile, trust: Trust, geography: GeographyName, stage: Stage) -> Head | Finding:
    """A head from its blob (`path` is the blob's name), or why it does not count."""
    named = _sequence_in(file.path)
    found = verify(file, trust, placed=False)
    if isinstance(found, Rejected):
        message = f"the head for row {named} does not count: {found.reason.message}"
        return Finding(Flaw.HEAD_NOT_TRUSTED, named, message)
    predicate = found.predicate
    if not isinstance(predicate, AuditHead):
        message = f"the head for row {named} does not count: expected an audit head, got a statement of {found.kind}"
        return Finding(Flaw.HEAD_NOT_TRUSTED, named, message)
    if (predicate.geography, predicate.stage) != (geography, stage):
        message = f"the head for row {named} is of {predicate.geography}, {predicate.stage}, not of this chain"
        return Finding(Flaw.HEAD_ELSEWHERE, named, message)
    if file.path != head_name(geography, stage, predicate.sequence):
        message = f"the head under the name of row {named} is that of row {predicate.sequence}"
        return Finding(Flaw.HEAD_ELSEWHERE, named, message)
    return Head(predicate.sequence, found.sha256, moment(predicate.issued))


def read_heads(
    files: Iterable[StatementFile], trust: Trust, geography: GeographyName, stage: Stage
) -> tuple[list[Head], list[Finding]]:
    """Those that count, in order, and what is wrong with the others."""
    heads: list[Head] = []
    findings: list[Finding] = []
    for file in files:
        read = read_head(file, trust, geography, stage)
        if isinstance(read, Head):
            heads.append(read)
        else:
            findings.append(read)
    return sorted(heads, key=lambda h: h.sequence), findings


def _sequence_in(name: str) -> int:
    digits = name.rpartition("/")[2].removesuffix(".json")
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) == 12 else 0


# --- the whole chain ----------------------------------------------------------------------------------------------


def verify_chain(
    rows: Iterable[ChainedRow], heads: Sequence[Head], exported: datetime, unchained: int = 0
) -> Iterator[Finding]:
    """Everything wrong with the rows, in the order in which they were exported at that time.

    Each row is compared with its own hash, with the row before it, and with every head of its sequence. A chain that
    begins later than with row 1 must begin behind a head old enough for the rows before it to have been purged.
    `unchained` are rows that should have come into the chain and did not (`ANCHORED_WITHIN`).
    """
    anchored: dict[int, list[Head]] = {}
    for head in heads:
        anchored.setdefault(head.sequence, []).append(head)
    newest_head = max(anchored, default=0)
    last: ChainedRow | None = None
    unproved: ChainedRow | None = None
    for row in rows:
        yield from _alone(row, anchored)
        if last is None:
            yield from _first(row, anchored, exported)
        elif row.sequence <= last.sequence:
            message = f"row {row.sequence} stands after row {last.sequence}: it was moved or repeated"
            yield Finding(Flaw.ROW_MISPLACED, row.sequence, message)
            continue
        else:
            yield from _next(last, row)
        if row.sequence > newest_head and unproved is None and row.time < exported - ANCHORED_WITHIN:
            unproved = row
        last = row
    end = last.sequence if last else 0
    if newest_head > end:
        message = f"{_are(end + 1, newest_head)} missing at the end: the head of row {newest_head} is anchored"
        yield Finding(Flaw.END_MISSING, newest_head, message)
    minutes = int(ANCHORED_WITHIN.total_seconds() // 60)
    if unchained:
        message = f"after row {end}, {unchained} rows are not in the chain after more than {minutes} minutes"
        yield Finding(Flaw.NOT_CHAINED, end, message)
    if unproved is not None:
        message = f"{_are(unproved.sequence, end)} below no anchored head after more than {minutes} minutes"
        yield Finding(Flaw.NOT_ANCHORED, unproved.sequence, message)


def _alone(row: ChainedRow, anchored: Mapping[int, Sequence[Head]]) -> Iterator[Finding]:
    if row.computed_hash() != row.row_hash:
        yield Finding(Flaw.ROW_CHANGED, row.sequence, f"row {row.sequence} was changed: its hash is not that of it")
    if any(head.row_hash != row.row_hash for head in anchored.get(row.sequence, ())):
        message = f"row {row.sequence} or one before it was rewritten: its anchored head has another hash"
        yield Finding(Flaw.CHAIN_REWRITTEN, row.sequence, message)


def _first(row: ChainedRow, anchored: Mapping[int, Sequence[Head]], exported: datetime) -> Iterator[Finding]:
    before = row.sequence - 1
    if before == 0:
        if row.previous_hash != BEFORE_THE_FIRST:
            yield Finding(Flaw.ROW_UNLINKED, 1, "row 1 was changed: it follows on another row")
        return
    ends = [h for h in anchored.get(before, ()) if h.row_hash == row.previous_hash]
    if not ends:
        message = f"{_are(1, before)} missing at the start, and no anchored head ends there"
        yield Finding(Flaw.START_MISSING, before, message)
    elif all(head.issued > exported - timedelta(days=KEPT_DAYS) + CLOCKS_DIFFER for head in ends):
        message = f"{_are(1, before)} missing at the start, but not for having been kept six years"
        yield Finding(Flaw.START_MISSING, before, message)


def _next(last: ChainedRow, row: ChainedRow) -> Iterator[Finding]:
    expected = last.sequence + 1
    if row.sequence != expected:
        message = f"{_are(expected, row.sequence - 1)} missing: row {row.sequence} follows"
        yield Finding(Flaw.ROWS_MISSING, expected, message)
    elif row.previous_hash != last.row_hash:
        message = f"row {row.sequence} does not follow on row {last.sequence} as it is: one of them was changed"
        yield Finding(Flaw.ROW_UNLINKED, row.sequence, message)


def _are(first: int, last: int) -> str:
    return f"row {first} is" if first == last else f"rows {first} to {last} are"
