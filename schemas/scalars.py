"""The scalar types of the stack configuration: each refuses what it does not mean, saying what was expected.

Owns the spelling rules of single values (URLs, identifiers, host names, address ranges). Rules between values live in
`rules/`.
"""

import ipaddress
import re
import unicodedata
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

LOOPBACK_HOSTS = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
V4_COMPATIBLE = ipaddress.IPv6Network("::/96")


def host_of(authority: str) -> str:
    """The host name of `host` or `host:port`, in lower case."""
    return (urlsplit(f"//{authority}").hostname or "").lower()


def is_loopback(host: str) -> bool:
    """Whether a host name or address, however spelled, is this machine (RFC 6761 section 6.3, RFC 6890)."""
    host = host.lower().rstrip(".")
    if host in LOOPBACK_HOSTS or host.endswith(".localhost"):
        return True
    address = address_of(host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is, in any spelling that a resolver takes: `127.1`, `0x7f000001`, `[::ffff:7f00:1]`."""
    host = host.lower().rstrip(".").removeprefix("[").removesuffix("]")
    if ":" not in host:
        return _ipv4_of(host.split("."))
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return None
    embedded = address.ipv4_mapped or address.sixtofour
    if address in NAT64 or (address in V4_COMPATIBLE and int(address) > 1):
        embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return embedded or address


def _ipv4_of(parts: list[str]) -> ipaddress.IPv4Address | None:
    """One to four numbers, decimal, octal (0...) or hexadecimal (0x...); the last one fills what is left."""
    numbers: list[int] = []
    for part in parts:
        if re.fullmatch(r"0x[0-9a-f]*", part):
            numbers.append(int(part[2:] or "0", 16))
        elif re.fullmatch(r"0[0-7]*|[1-9][0-9]{0,19}", part):
            numbers.append(int(part, 8 if part.startswith("0") else 10))
        else:
            return None
    *first, last = numbers
    if len(first) > 3 or any(n > 255 for n in first) or last >= 256 ** (4 - len(first)):
        return None
    return ipaddress.IPv4Address(sum(n << (24 - 8 * i) for i, n in enumerate(first)) + last)


_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_AUTHORITY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\])(?::[1-9][0-9]{{0,4}})?")
_NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f\\]")
_NOT_IN_A_PATH = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=:@/%-]")


_URLS = 16 * 1024
"""How many are remembered as good: a statement, an organisation's file and a document say the same ones again."""


@lru_cache(_URLS)
def _url(value: str, what: str, *, http_on_loopback: bool = False) -> str:
    if _NOT_IN_A_URL.search(value):
        raise ValueError(f"expected {what} without spaces, control characters or backslashes")
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as e:
        raise ValueError(f"expected {what}: {e}") from None
    plain = http_on_loopback and value.startswith("http://") and is_loopback(parts.hostname or "")
    if not (plain or value.startswith("https://")):
        raise ValueError(f"expected {what} that starts with https://")
    if not parts.hostname:
        raise ValueError(f"expected {what} with a host name")
    if "@" in parts.netloc:
        raise ValueError(f"expected {what} without user info")
    if "?" in value or "#" in value:
        raise ValueError(f"expected {what} without query or fragment")
    if not value.isascii():
        raise ValueError(f"expected {what} in ASCII; spell an internationalised host name in its xn-- form")
    if not _AUTHORITY.fullmatch(parts.netloc):
        allowed = "letters, digits, hyphens and dots"
        raise ValueError(f"expected {what} with a host name of {allowed} only, and a port of digits, if any")
    if unusual := _NOT_IN_A_PATH.search(parts.path):
        raise ValueError(f"expected {what} without {unusual.group()}, which a path spells percent-encoded")
    return value


@lru_cache(_URLS)
def _fhir_base_url(value: str) -> str:
    what = "a FHIR base URL"
    _url(value, what, http_on_loopback=True)
    path = urlsplit(value).path
    segments = path.split("/")[1:]
    lowered = [s.lower().replace("%2e", ".") for s in segments]
    if any(s in (".", "..") for s in lowered):
        raise ValueError(f"expected {what} without dot segments")
    if re.search(r"%(?:2f|5c|00)", path, re.IGNORECASE) or re.search(r"%(?![0-9a-fA-F]{2})", path):
        raise ValueError(f"expected {what} without encoded slashes or broken percent-encoding")
    if path in ("", "/"):
        raise ValueError(f"expected {what} with a path, as the EHR publishes it (for Epic: .../api/FHIR/R4)")
    if path.endswith("/") or "" in segments:
        raise ValueError(f"expected {what} without a trailing or doubled slash")
    return value


def _https_origin(value: str) -> str:
    return _origin(value)


def _ehr_origin(value: str) -> str:
    return _origin(value, http_on_loopback=True)


@lru_cache(_URLS)
def _origin(value: str, *, http_on_loopback: bool = False) -> str:
    what = "an origin such as https://hyperspace.example.org"
    _url(value, what, http_on_loopback=http_on_loopback)
    parts = urlsplit(value)
    if parts.path or value != value.lower():
        raise ValueError(f"expected {what}: scheme, host and port only, in lower case, no slash at the end")
    return value


def _https_endpoint(value: str) -> str:
    return _url(value, "an https URL")


def _ehr_endpoint(value: str) -> str:
    return _url(value, "an https URL", http_on_loopback=True)


def _public_host(value: str) -> str:
    what = "a public host name such as visits.americas.example.org"
    if value != value.lower():
        raise ValueError(f"expected {what}, in lower case")
    host = host_of(value)
    rest = value[len(host) :]
    if not re.fullmatch(
        r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?",
        host,
    ):
        raise ValueError(f"expected {what}")
    if rest and not (re.fullmatch(r":[1-9][0-9]{0,4}", rest) and int(rest[1:]) < 65536):
        raise ValueError(f"expected {what}, optionally with :port")
    return value


def _address_range(value: str) -> str:
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError:
        raise ValueError("expected an IPv4 address range such as 10.20.0.0/16, with no host bits set") from None
    if value != str(network):
        raise ValueError("expected an IPv4 address range in CIDR form, such as 10.20.0.0/16")
    if not any(network.subnet_of(private) for private in RFC_1918):
        raise ValueError("expected a private IPv4 address range (RFC 1918)")
    return value


RFC_1918 = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


def _path_at_an_ehr(value: str) -> str:
    if any(segment in (".", "..") for segment in value.split("/")):
        raise ValueError("expected a path without dot segments")
    return value


def _readable_name(value: str) -> str:
    if hidden := next((c for c in value if unicodedata.category(c) in INVISIBLE and c not in JOINERS), None):
        raise ValueError(f"expected a name without invisible characters such as U+{ord(hidden):04X}")
    return value


INVISIBLE = frozenset({"Cf", "Co", "Zl", "Zp"})
JOINERS = frozenset("\u200c\u200d")
"""Characters without a shape of their own that names in some scripts, and emoji, need."""


def _path_inside_project(value: str) -> str:
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError("expected a path inside the project: relative, with forward slashes, without ..")
    return value


def _image(value: str) -> str:
    if value in ("working-tree", "none"):
        return value
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", value):
        raise ValueError(
            "expected an image's digest (sha256:<64 hex digits>), none before there is one, or, where cloud is "
            "emulated, working-tree"
        )
    return value


def _timestamp(value: str) -> str:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("expected a time in UTC that exists, such as 2026-01-31T09:30:00Z") from None
    return value


def _expects(what: str) -> Any:
    """The words for a value that does not fit: in `connector check`, and in editors (`errorMessage`)."""
    return Field(json_schema_extra={"errorMessage": f"expected {what}"})


Identifier = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40),
    _expects("an identifier: lower-case words and digits joined by hyphens, such as lakeside-test"),
]
"""An identifier of ours: lower-case words joined by hyphens; part of names in Azure, paths and statements."""

Guid = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"),
    _expects("an id such as 2b2b2b2b-0000-4000-8000-000000000001, in lower case"),
]
"""A tenant, object, application or subscription id: lower case, RFC 9562 text form."""

DisplayName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$"),
    AfterValidator(_readable_name),
    _expects("a name on one line"),
]
"""A name that people read: one line, not blank."""

OpaqueId = Annotated[
    str,
    StringConstraints(pattern=r"^[\x21-\x7e]{1,200}$"),
    _expects("an identifier of at most 200 printable ASCII characters without spaces"),
]
"""An identifier that another system gave: printable ASCII without spaces, kept as it is."""

ContextKey = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,99}$"),
    _expects("the name of a parameter of the token response, such as csn"),
]
"""The name of a launch context parameter in the token response (SMART App Launch 2.2, section 7)."""

SecretName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$", max_length=127),
    _expects("the name of a Key Vault secret (letters, digits and hyphens), never the secret itself"),
]
"""The name of a Key Vault secret: a reference, never a value."""

KeyId = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{64}$"),
    _expects("a key id: the SHA-256 of the public key (SubjectPublicKeyInfo, DER) as 64 hex digits"),
]
"""The fingerprint of a public key: SHA-256 over its SubjectPublicKeyInfo in DER (RFC 5280 section 4.1.2.7)."""

KeyVersion = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{32}$"),
    _expects("a version of a Key Vault key: 32 hex digits"),
]
"""A version of a Key Vault key, as the vault names it."""

Sha256 = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{64}$"),
    _expects("a SHA-256 digest as 64 hex digits in lower case"),
]
"""A SHA-256 digest."""

Timestamp = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$"),
    AfterValidator(_timestamp),
    _expects("a time in UTC such as 2026-01-31T09:30:00Z"),
]
"""A moment in UTC, to the second (RFC 3339)."""

BranchName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(?:[./][A-Za-z0-9_-]+)*$", max_length=100),
    _expects("the name of a git branch, such as main"),
]
"""A git branch, in a part of what git allows (git-check-ref-format)."""

EmailAddress = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9_.+-]+@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)+$",
        max_length=254,
    ),
    _expects("an e-mail address, such as on-call@example.org"),
]
"""An address to which mail goes, in the part of what RFC 5321 allows that every mailer takes."""

GitHubLogin = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*$", max_length=39),
    _expects("a GitHub account name"),
]
"""An account name at GitHub."""

Region = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z]+[0-9]?$"),
    _expects("an Azure region as Resource Manager spells it, such as eastus2"),
]
"""An Azure region as Resource Manager spells it (`eastus2`)."""

FhirBaseUrl = Annotated[
    str,
    Field(max_length=2000),
    AfterValidator(_fhir_base_url),
    _expects("a FHIR base URL such as https://ehr.example.org/interconnect/api/FHIR/R4"),
]
"""https, no query, fragment, user info or dot segments; matched exactly, so kept exactly as written.

http is read on the loopback, for `rules/` to refuse wherever cloud is not emulated.
"""

EhrPath = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$", max_length=300),
    AfterValidator(_path_at_an_ehr),
    _expects("a path such as api/epic/2018/Telehealth, without a slash at its ends"),
]
"""A path below an EHR's root."""

HttpsOrigin = Annotated[
    str,
    Field(max_length=300),
    AfterValidator(_https_origin),
    _expects("an origin such as https://login.example.org"),
]
"""Scheme, host and port (RFC 6454), in lower case."""

EhrOrigin = Annotated[
    str,
    Field(max_length=300),
    AfterValidator(_ehr_origin),
    _expects("an origin such as https://hyperspace.example.org"),
]
"""An origin of an EHR; http is read on the loopback, as for a FHIR base URL."""

EhrUrl = Annotated[str, Field(max_length=2000), AfterValidator(_ehr_endpoint), _expects("an https URL")]
"""A URL of an EHR without query, fragment or user info; http is read on the loopback, as for a FHIR base URL."""

HttpsUrl = Annotated[
    str,
    Field(max_length=2000),
    AfterValidator(_https_endpoint),
    _expects("an https URL"),
]
"""An https URL without query, fragment or user info."""

PublicHost = Annotated[
    str,
    Field(max_length=260),
    AfterValidator(_public_host),
    _expects("a public host name such as visits.americas.example.org"),
]
"""The host (and, where emulated, port) under which the runtime's pages are served."""

AddressRange = Annotated[
    str,
    AfterValidator(_address_range),
    _expects("an IPv4 address range such as 10.20.0.0/16"),
]
"""An IPv4 range in CIDR form (RFC 4632)."""

Image = Annotated[
    str,
    AfterValidator(_image),
    _expects(
        "an image's digest (sha256:<64 hex digits>), none before there is one, or, where cloud is emulated, "
        "working-tree"
    ),
]
"""The digest of a container image, the same in each geography's registry; `none`; or, where cloud is emulated,
`working-tree`."""

ImageDigest = Annotated[
    str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$"), _expects("an image's digest (sha256:<64 hex digits>)")
]

FilePath = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9._/-]+$", max_length=300),
    AfterValidator(_path_inside_project),
    _expects("a path inside the project, with forward slashes, such as organizations/lakeside.yaml"),
]
"""A path inside the project, with forward slashes."""
