"""JSON that no two readers understand differently: strict in, canonical (RFC 8785) out, digests with their domain.

Refused are duplicate keys, numbers with a fraction or beyond 2^53 - 1, half characters, and anything after the value;
of base64, all but the one spelling of the bytes.
"""

import base64
import hashlib
import json
import re
from typing import Annotated, Any

import orjson
import rfc8785
from pydantic import BeforeValidator

LARGEST_BYTES = 1024 * 1024
DEEPEST = 20
_LARGEST_INTEGER = 2**53 - 1


class NotStrictJson(ValueError):
    """The bytes are not JSON that every reader understands alike. The message says why."""


def read_json(data: bytes) -> Any:
    """The value of strict JSON in UTF-8. Raises `NotStrictJson`."""
    if len(data) > LARGEST_BYTES:
        raise NotStrictJson(f"expected at most {LARGEST_BYTES} bytes")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
            parse_int=_integer,
        )
    except NotStrictJson:
        raise
    except (ValueError, RecursionError) as e:
        raise NotStrictJson(f"expected JSON: {type(e).__name__}") from None
    # In UTF-8 half a character can only be an escape, and nothing nests deeper than it has brackets.
    if b"\\u" in data or data.count(b"[") + data.count(b"{") > DEEPEST:
        _check(value, 0)
    return value


def read_base64(text: Any) -> bytes:
    """The bytes of standard base64 with padding whose spare bits are zero (RFC 4648, 3.5). Raises `NotStrictJson`."""
    try:
        data = base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        raise NotStrictJson("expected base64 with padding") from None
    if base64.b64encode(data).decode() != text:
        raise NotStrictJson("expected base64 whose spare bits are zero")
    return data


Base64 = Annotated[bytes, BeforeValidator(read_base64)]
"""Bytes, in JSON the text that `read_base64` takes."""


def canonical(value: Any) -> bytes:
    """RFC 8785 (JSON Canonicalization Scheme) of a value of JSON.

    orjson writes the same in a tenth of the time where there is nothing but ASCII, so that keys have one order, no
    number but integers, and no null.
    """
    try:
        data = orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        return rfc8785.dumps(value)
    without_escapes = data.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in data else data
    outside_strings = b"".join(without_escapes.split(b'"')[::2])
    return data if data.isascii() and not _UNSURE.search(outside_strings) else rfc8785.dumps(value)


_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)
_UNSURE = re.compile(rb"(?:^|[:,\[])(?:-?[0-9]+[.eE]|null)")
"""A fraction or an exponent where a value may stand, or null, as which orjson writes what is no number."""


def digest(domain: str, data: bytes) -> str:
    """SHA-256 in hex over `teams-ehr-connector/<domain>`, a NUL byte and the data: no digest passes for another's."""
    return hashlib.sha256(f"teams-ehr-connector/{domain}\0".encode() + data).hexdigest()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotStrictJson("expected each key once")
    return found


def _integer(text: str) -> int:
    value = int(text) if len(text) < 20 else _LARGEST_INTEGER + 1
    if abs(value) > _LARGEST_INTEGER or text == "-0":
        raise NotStrictJson("expected integers between -(2^53 - 1) and 2^53 - 1")
    return value


def _refuse_number(_: str) -> Any:
    raise NotStrictJson("expected no numbers but integers")


def _check(value: Any, depth: int) -> None:
    if depth > DEEPEST:
        raise NotStrictJson(f"expected at most {DEEPEST} levels of nesting")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise NotStrictJson("expected whole characters") from None
    elif isinstance(value, dict):
        for key, item in value.items():  # pyright: ignore[reportUnknownVariableType] # JSON
            _check(key, depth + 1)
            _check(item, depth + 1)
    elif isinstance(value, list):
        for item in value:  # pyright: ignore[reportUnknownVariableType] # JSON
            _check(item, depth + 1)
