"""Strict JSON and base64 in, canonical JSON out, digests with their domain."""

import base64
import hashlib

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.promotion.canonical import LARGEST_BYTES, NotStrictJson, canonical, digest, read_base64, read_json

NOT_STRICT = {
    "a duplicate key": b'{"a":1,"a":1}',
    "a duplicate key further down": b'{"a":[{"b":1,"b":2}]}',
    "a fraction": b"1.5",
    "an exponent": b"1e2",
    "a number that is none": b"NaN",
    "infinity": b"-Infinity",
    "a number beyond 2^53 - 1": b"9007199254740992",
    "a number of a thousand digits": b"9" * 1000,
    "minus nothing": b"-0",
    "half a character": b'"\\ud800"',
    "half a character as key": b'{"\\udc00":1}',
    "other bytes than UTF-8": b'"\xff"',
    "a byte order mark": b'\xef\xbb\xbf{"a":1}',
    "something after the value": b"{} {}",
    "nothing": b"",
    "a comment": b"{} // x",
    "21 levels": b"[" * 22 + b"]" * 22,
    "a million levels": b"[" * 1_000_000,
    "more than a MiB": b'"' + b"a" * LARGEST_BYTES + b'"',
}


@pytest.mark.parametrize("data", NOT_STRICT.values(), ids=NOT_STRICT)
def test_json_that_two_readers_might_read_differently_is_refused(data: bytes) -> None:
    with pytest.raises(NotStrictJson, match="expected"):
        read_json(data)


SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text()
JSON = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3), max_leaves=8
)


@given(JSON)
def test_canonical_json_reads_as_what_it_was_and_is_its_own_canonical_form(value: object) -> None:
    data = canonical(value)
    assert read_json(data) == value
    assert canonical(read_json(data)) == data


@given(
    st.recursive(
        SCALARS
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(max_codepoint=0xFF))
        | st.from_regex(r"[0-9:,.eE\\[-]{1,12}"),
        lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(max_size=4), v, max_size=4),
        max_leaves=12,
    )
)
@example({"\U0001f600": 1, "\ufffd": 2})
@example({"a": '\x7f\x1b/"\\\u2028', "A": [1e21, 1e-7, 0.0, -0.0, 100.0]})
def test_canonical_json_is_that_of_rfc_8785_whoever_writes_it(value: object) -> None:
    assert canonical(value) == rfc8785.dumps(value)  # pyright: ignore[reportArgumentType] # any JSON


@pytest.mark.parametrize("value", [2**53, -(2**53), float("nan"), float("inf"), "\ud800", {1: 2}, {None: 1}, object()])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical(value)


@given(st.binary(max_size=80))
def test_base64_is_read_back(data: bytes) -> None:
    assert read_base64(base64.b64encode(data).decode()) == data


@pytest.mark.parametrize(
    "text", ["YR==", "YWJ=", "YQ", "YQ=", "YWJj=", "YQ==YQ==", " YQ==", "YQ==\n", "Y-__", "YQ\u00b2="]
)
def test_base64_of_another_spelling_is_refused(text: str) -> None:
    """What its library reads as the same bytes included: one signature must not be many files."""
    with pytest.raises(NotStrictJson, match="expected base64"):
        read_base64(text)


def test_a_digest_is_of_its_domain() -> None:
    """Independent of our code: SHA-256 over the label, a NUL and the data."""
    assert digest("connection/1", b"{}") == hashlib.sha256(b"teams-ehr-connector/connection/1\0{}").hexdigest()
    assert digest("connection/1", b"{}") != digest("revocations/1", b"{}")
