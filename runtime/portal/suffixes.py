"""What a FHIR base URL usually ends with: hints for whoever copied another address of the same EHR.

Epic publishes its FHIR base URLs as `<root>/api/FHIR/R4`; people often bring the address of a neighbour: the root, the
OAuth server, the CapabilityStatement, an older FHIR version.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from schemas.vocabulary import EhrKind

EPIC_SUFFIX = "/api/FHIR/R4"
_TAILS = (
    (re.compile(r"/metadata/?$", re.IGNORECASE), "without /metadata, where its CapabilityStatement is"),
    (re.compile(r"/\.well-known/.*$", re.IGNORECASE), "without /.well-known, where its configuration is"),
    (re.compile(r"/+$"), "without the slash at its end"),
)
_EPIC = (
    (re.compile(r"/api/FHIR/(?:DSTU2|STU3)$", re.IGNORECASE), "the FHIR version that visits use"),
    (re.compile(r"/oauth2(?:/.*)?$", re.IGNORECASE), "the FHIR server beside this OAuth server"),
    (re.compile(r"/api(?:/FHIR)?$", re.IGNORECASE), "the whole path of Epic's FHIR server"),
)


@dataclass(frozen=True)
class Hint:
    """Another URL to try, and in words what it is."""

    url: str
    why: str


def hints(url: str, kind: EhrKind) -> Iterator[Hint]:
    """At most one: the URL that is most likely meant."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return
    if parts.scheme not in ("https", "http") or not parts.hostname or "@" in parts.netloc or len(url) > 2000:
        return
    meant, why = f"{parts.scheme}://{parts.netloc}{parts.path}", ""
    if parts.query or parts.fragment:
        why = "without what follows the ? or #"
    for tail, said in _TAILS:
        if tail.search(meant):
            meant, why = tail.sub("", meant), why or said
    if kind is EhrKind.EPIC:
        meant, why = _of_epic(meant, why)
    if meant != url and urlsplit(meant).path:
        yield Hint(meant, why)


def _of_epic(url: str, why: str) -> tuple[str, str]:
    if url.endswith(EPIC_SUFFIX):
        return url, why
    if url.lower().endswith(EPIC_SUFFIX.lower()):
        return url[
            : -len(EPIC_SUFFIX)
        ] + EPIC_SUFFIX, why or "Epic's own spelling, since URLs are compared letter by letter"
    for tail, said in _EPIC:
        if tail.search(url):
            return tail.sub("", url) + EPIC_SUFFIX, why or said
    return url + EPIC_SUFFIX, why or "Epic's usual end of a FHIR base URL"
