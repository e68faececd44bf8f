"""Canary patients: people of an emulated EHR whose every detail can be found again, wherever it went.

Owns their markers, the forms in which a marker may hide, and planting them in a world. All markers begin with the same
random letters, so one search finds any of them.
"""

import base64
import hashlib
import secrets
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

LETTERS = string.ascii_lowercase + string.digits
EACH = 2
"""Canary patients of each organisation: one comes before the provider, one after."""


@dataclass(frozen=True)
class Canary:
    """One canary patient and their appointment; `marker` is in all four values."""

    organization: str
    number: int
    marker: str

    @property
    def patient(self) -> str:
        return f"P.{self.marker}-id"

    @property
    def name(self) -> str:
        return f"Zoë {self.marker} Ó'Hara"

    @property
    def csn(self) -> str:
        return f"{self.marker}csn"

    @property
    def guest_name(self) -> str:
        """What they type in front of Teams. Not a word of the EHR's: Graph has to know it, we do not."""
        return f"gu{hashlib.sha256(self.marker.encode()).hexdigest()[:14]}"


def new_marker() -> str:
    return "cn" + "".join(secrets.choice(LETTERS) for _ in range(14))


def plant(world: Path) -> None:
    """Add canary patients with appointments of today to every EHR of a world's file."""
    yaml = YAML()
    yaml.preserve_quotes = True
    document: Any = yaml.load(world)  # pyright: ignore[reportUnknownMemberType]
    start = new_marker()
    for place, ehr in enumerate(document["ehrs"]):
        for number in range(EACH):
            canary = Canary(ehr["organization"], number, f"{start}{LETTERS[place]}{number}")
            provider = ehr["users"][number % len(ehr["users"])]["id"]
            ehr["patients"].append({"id": canary.patient, "name": canary.name, "birthDate": "1953-02-17"})
            visit = {"csn": canary.csn, "provider": provider, "patient": canary.patient, "time": "16:45"}
            ehr["appointments"].append(visit)
    with world.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)  # pyright: ignore[reportUnknownMemberType]


def planted(ehrs: Iterable[Any]) -> list[Canary]:
    """The canaries of a world, as its file has them."""
    found: list[Canary] = []
    for ehr in ehrs:
        markers = [p.id.removeprefix("P.").removesuffix("-id") for p in ehr.patients if p.id.endswith("-id")]
        found += [Canary(ehr.organization, number, marker) for number, marker in enumerate(markers)]
    return found


# --- forms ----------------------------------------------------------------------------------------------------------


def forms(text: str) -> dict[str, bytes]:
    """How a text may stand in bytes, by name of the form. What stands within something longer is found, too."""
    raw = text.encode()
    found = {
        "plain": raw,
        "capitals": text.upper().encode(),
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "percent": "".join(f"%{b:02x}" for b in raw).encode(),
        "PERCENT": "".join(f"%{b:02X}" for b in raw).encode(),
        "utf-16": text.encode("utf-16-le"),
        "backwards": raw[::-1],
    }
    return found | base64_forms(raw)


def base64_forms(raw: bytes) -> dict[str, bytes]:
    """Both alphabets, at each place in the groups of three."""
    return {
        f"{name}, {offset}": _middle(encode, raw, offset)
        for offset in range(3)
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode))
    }


def _middle(encode: Any, raw: bytes, offset: int) -> bytes:
    """The characters that depend on nothing but `raw`, where it begins `offset` bytes into a group of three."""
    encoded: bytes = encode(bytes(offset) + raw).rstrip(b"=")
    whole = (offset + len(raw)) * 8 // 6
    return encoded[-(-offset * 8 // 6) : whole]


def digests(text: str) -> dict[str, bytes]:
    """Hashes without a key: who knows the few million numbers in use can turn them back."""
    found: dict[str, bytes] = {}
    for algorithm in ("sha256", "sha1", "md5"):
        digest = hashlib.new(algorithm, text.encode()).digest()
        found |= {
            f"{algorithm}": digest,
            f"{algorithm}, hex": digest.hex().encode(),
            f"{algorithm}, base64": base64.b64encode(digest).rstrip(b"="),
            f"{algorithm}, base64url": base64.urlsafe_b64encode(digest).rstrip(b"="),
        }
    return found


def sought(canaries: Iterable[Canary]) -> dict[str, bytes]:
    """Every form of the letters that all markers begin with, and of each value's digests."""
    canaries = list(canaries)
    (start,) = {c.marker[:16] for c in canaries}
    found = forms(start)
    for c in canaries:
        for what, value in (("patient id", c.patient), ("name", c.name), ("csn", c.csn)):
            found |= {f"{what} of {c.organization}'s canary, {form}": b for form, b in digests(value).items()}
    return found


# --- search ---------------------------------------------------------------------------------------------------------


def hits(data: bytes, wanted: dict[str, bytes]) -> Iterator[str]:
    """Which forms stand in the data, with what is around them."""
    for form, needle in wanted.items():
        at = data.find(needle)
        if at >= 0:
            yield f"{form}: ...{data[max(0, at - 60) : at + len(needle) + 40]!r}..."


def hits_in_files(files: Iterable[Path], wanted: dict[str, bytes]) -> list[str]:
    """All hits, in names and contents; files that go meanwhile are passed over."""
    found: list[str] = []
    for file in files:
        found += [f"name of {file}: {hit}" for hit in hits(str(file).encode(), wanted)]
        try:
            data = file.read_bytes() if file.is_file() and not file.is_symlink() else b""
        except FileNotFoundError:
            continue
        found += [f"{file}: {hit}" for hit in hits(data, wanted)]
    return found
