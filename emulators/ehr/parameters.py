"""Request parameters read strictly: each at most once, forms urlencoded and small (RFC 6749 section 3.1)."""

from collections.abc import Sequence
from urllib.parse import parse_qsl

from starlette.requests import Request

FORM = "application/x-www-form-urlencoded"
MAXIMUM_FORM_BYTES = 64 * 1024


class Malformed(ValueError):
    """The request's parameters cannot be read in one way only."""


def query_of(request: Request) -> dict[str, str]:
    return once(request.url.query)


async def form_of(request: Request) -> dict[str, str]:
    """The urlencoded body. Raises `Malformed`."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != FORM:
        raise Malformed(f"expected a body of type {FORM}")
    return once((await body_of(request)).decode())


async def body_of(request: Request) -> bytes:
    """The body, if it is small. Raises `Malformed`."""
    body = bytearray()
    async for chunk in request.stream():
        body.extend(chunk)
        if len(body) > MAXIMUM_FORM_BYTES:
            raise Malformed("the body is too long")
    return bytes(body)


def once(encoded: str) -> dict[str, str]:
    """Parameters of a query or form, none twice. Raises `Malformed`."""
    try:
        pairs: Sequence[tuple[str, str]] = parse_qsl(encoded, keep_blank_values=True, errors="strict")
    except ValueError as e:
        raise Malformed(f"not urlencoded: {e}") from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise Malformed("a parameter comes twice")
    return parameters
