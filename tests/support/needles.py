"""What servers told one another in confidence, and the search for it where anything is kept or published.

Owns gathering it (what the emulated services gave out and got, what their vaults and key files hold), the forms in
which it may stand somewhere, and one search over all of them that also looks into base64, gzip, zlib and xz, one
inside another.
"""

import base64
import json
import lzma
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.support.canaries import base64_forms

SHORTEST = 12
"""Characters: what is shorter is found by chance."""
_RUN = re.compile(rb"[A-Za-z0-9_+/%%-]{%d,}" % SHORTEST)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{40,}")
_COMPRESSED = (b"\x78", b"\xfd")
"""How zlib and xz begin."""
_GZIP = b"\x1f"
_DEEP = 4
_CHUNK = re.compile(r"[a-z]+-configuration-[0-9a-f]{24}(-[0-9]{4})?")
"""A part of the configuration document. It is no secret, and in Pulumi's state as it is in the vault."""
_PRIVATE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.+?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)


# --- what is sought -------------------------------------------------------------------------------------------------


def confidences(state: Path) -> dict[str, set[bytes]]:
    """By whose it is: credentials on the wire, secrets, and the private parts of keys, of a stack's state folder."""
    found: dict[str, set[bytes]] = defaultdict(set)
    for log in state.rglob("credentials.jsonl"):
        for line in log.read_text("utf-8").splitlines():
            record = json.loads(line)
            values = [*record["received"], *record["issued"]]
            found[f"credentials of {log.parent.name}"] |= {part for value in values for part in parts_of(value)}
    for file in state.glob("azure/vaults/*/secrets/*.json"):
        if not _CHUNK.fullmatch(file.stem):
            for version in json.loads(file.read_bytes()):
                found["secrets of the vaults"] |= set(_of_secret(version["value"]))
    for file in state.glob("azure/vaults/*/keys/*.json"):
        for version in json.loads(file.read_bytes()):
            found["keys of the vaults"] |= set(private_parts(version["pem"]))
    for file in state.rglob("*.pem"):
        if "PRIVATE KEY" in (text := file.read_text("utf-8")):
            found["key files"] |= set(private_parts(text))
    for file in (*state.glob("ehr/*/clients/*.secret"), state / "passphrase"):
        found["files of secrets"].add(file.read_bytes().strip())
    return {whose: {v for v in values if len(v) >= SHORTEST} for whose, values in found.items()}


def parts_of(credential: str) -> Iterator[bytes]:
    """Of a JWT, its claims and its signature each; anything else whole."""
    segments = credential.split(".")
    if len(segments) == 3 and credential.startswith("eyJ"):
        yield from (segment.encode() for segment in segments[1:])
    else:
        yield credential.encode()


def private_parts(text: str) -> Iterator[bytes]:
    """Of the private keys in PEM: the numbers that nobody else knows, and the lines that carry them."""
    for pem in _PRIVATE.findall(text):
        key = serialization.load_pem_private_key(pem.encode(), None)
        lines = pem.strip().splitlines()[1:-1]
        yield from (line.encode() for line in lines[1:])
        match key:
            case ec.EllipticCurvePrivateKey():
                yield key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8)
            case rsa.RSAPrivateKey():
                numbers = key.private_numbers()
                for number in (numbers.d, numbers.p, numbers.q):
                    yield number.to_bytes((number.bit_length() + 7) // 8)
            case _:
                raise AssertionError(f"expected an EC or RSA key, got {type(key).__name__}")


def _of_secret(value: str) -> Iterator[bytes]:
    """A key in PEM, also inside JSON; anything else whole."""
    plain = value.replace("\\n", "\n")
    if _PRIVATE.search(plain):
        yield from private_parts(plain)
    else:
        yield value.encode()


_LOOKS = re.compile(rb"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}|PRIVATE KEY-----|gh[ps]_[A-Za-z0-9]{20,}")


def looks_like_a_credential(data: bytes) -> list[bytes]:
    """Tokens and private keys by their looks, where what was issued is not known any more."""
    return [found.group() for _, layer in layers(data) for found in _LOOKS.finditer(layer)]


# --- the search -----------------------------------------------------------------------------------------------------


class Needles:
    """Values with their forms, found in one pass over the data however many they are."""

    def __init__(self, values: Mapping[str, Iterable[bytes]]) -> None:
        """`values` by whose they are."""
        self.count = 0
        self._by_start: dict[bytes, list[tuple[bytes, str]]] = defaultdict(list)
        self._raw: list[tuple[bytes, str]] = []
        for whose, several in values.items():
            for value in sorted(several):
                self.count += 1
                for form, needle in _forms(value).items():
                    self._add(needle, f"{whose}, {value[:4]!r}…, {form}")

    def _add(self, needle: bytes, name: str) -> None:
        if len(needle) >= SHORTEST and _RUN.fullmatch(needle[:SHORTEST]):
            self._by_start[needle[:SHORTEST]].append((needle, name))
        else:
            self._raw.append((needle, name))

    def found(self, data: bytes) -> Iterator[str]:
        """What stands in the data, or in what it holds encoded."""
        for how, layer in layers(data):
            for name in self._in_layer(layer):
                yield f"{name}{how}"

    def found_in(self, places: Iterable[tuple[str, bytes]]) -> list[str]:
        return [f"{place}: {name}" for place, data in places for name in self.found(place.encode() + b"\n" + data)]

    def _in_layer(self, layer: bytes) -> Iterator[str]:
        yield from (name for needle, name in self._raw if needle in layer)
        starts = self._by_start
        for run in _RUN.finditer(layer):
            text, begin = run.group(), run.start()
            for at in range(len(text) - SHORTEST + 1):
                if (several := starts.get(text[at : at + SHORTEST])) is not None:
                    yield from (name for needle, name in several if layer.startswith(needle, begin + at))


def _forms(value: bytes) -> dict[str, bytes]:
    """How bytes may stand in a text. What is encoded with more around it is found in the layers."""
    found = {
        "plain": value,
        "in a URL": quote(value, safe="").encode(),
        "percent": "".join(f"%{b:02x}" for b in value).encode(),
        "PERCENT": "".join(f"%{b:02X}" for b in value).encode(),
        "hex": value.hex().encode(),
        "HEX": value.hex().upper().encode(),
        **base64_forms(value),
    }
    distinct: dict[bytes, str] = {}
    for form, needle in found.items():
        distinct.setdefault(needle, form)
    return {form: needle for needle, form in distinct.items()}


def layers(data: bytes, deep: int = _DEEP) -> Iterator[tuple[str, bytes]]:
    """The data; what is in it compressed (gzip, zlib, xz) or in base64; and so on inside of that."""
    yield "", data
    if deep == 0:
        return
    inside = [(", in gzip", found) for at in _places(data, b"\x1f\x8b\x08") if (found := _inflated(data[at:]))]
    if data[:1] in _COMPRESSED and (found := _inflated(data)):
        inside.append((", compressed", found))
    decoded = [_decoded(run.group()) for run in _BASE64.finditer(data)]
    compressed = [d for d in decoded if d[:1] in (*_COMPRESSED, _GZIP)]
    inside += [(", compressed in base64", found) for d in compressed if (found := _inflated(d))]
    if decoded:
        inside.append((", in base64", b"\n".join(decoded)))
    for how, layer in inside:
        yield from ((how + more, deeper) for more, deeper in layers(layer, deep - 1))


def _places(data: bytes, start: bytes) -> Iterator[int]:
    at = data.find(start)
    while at >= 0:
        yield at
        at = data.find(start, at + 1)


def _inflated(data: bytes) -> bytes:
    """gzip, zlib or xz, as far as it goes; empty where it is none of them."""
    decompressor: Any = lzma.LZMADecompressor() if data[:1] == b"\xfd" else zlib.decompressobj(wbits=47)
    try:
        return decompressor.decompress(data, 64 * 1024 * 1024)
    except (zlib.error, lzma.LZMAError):
        return b""


def _decoded(run: bytes) -> bytes:
    whole = run[: len(run) // 4 * 4]
    return base64.urlsafe_b64decode(whole.replace(b"+", b"-").replace(b"/", b"_"))
