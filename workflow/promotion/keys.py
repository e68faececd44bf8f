"""`connector trust`: whose signatures count; a key is pinned, overlaps with the one before it, and is retired.

Owns reading a key's public half, the two places that must both list it (the stack's file, and the anchors of the
image), and keeping comments in both. What it writes is in the working copy, for a pull request of its own: one that
touches trust cannot carry a promotion that relies on it.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from rich.console import Console
from rich.table import Table

from schemas.problems import Path as ConfigPath
from schemas.promotion.canonical import canonical
from schemas.promotion.reading import anchors_of
from schemas.promotion.reasons import Reason
from schemas.promotion.statement import at
from schemas.promotion.trust import ANCHOR_FILES, Trust, TrustAnchor, key_id_of
from schemas.promotion_config import TrustedKey
from schemas.stack_config import PROJECT, StackConfig
from schemas.strict_yaml import read_yaml
from schemas.vocabulary import GeographyName, StatementType
from schemas.yaml_edit import EditImpossible, with_value
from workflow.errors import StackInvalid, WorkflowError
from workflow.project import Project
from workflow.promotion.operator import operating

KEY = ("config", f"{PROJECT}:promotion", "trustedKeys")
OWN = "make this a pull request of its own: one that touches trust cannot carry a promotion that relies on it"


class TrustRefused(WorkflowError):
    """The key is not added or retired, and why."""


@dataclass(frozen=True)
class Listed:
    """A key of the stack or of the image, and why it does not count, where it does not."""

    pin: TrustedKey | None
    anchor: TrustAnchor | None
    why: str

    def values(self) -> dict[str, Any]:
        known = self.pin or self.anchor
        assert known is not None
        return {
            "keyId": known.key_id,
            "name": self.pin.name if self.pin else None,
            "version": self.pin.version if self.pin else None,
            "geography": str(known.geography),
            "statementTypes": [str(t) for t in known.statement_types],
            "retiredAt": self.pin.retired_at if self.pin else None,
            "counts": not self.why,
            "why": self.why or None,
        }


def listed(project: Project, name: str) -> list[Listed]:
    """Every key of the stack, then those that the image alone lists."""
    stack = project.valid(name)
    anchors = anchors_of(stack.cloud, project.files)
    trust = Trust(stack.promotion.trusted_keys, anchors)
    by_id = {anchor.key_id: anchor for anchor in anchors.keys}
    found: list[Listed] = []
    for pin in stack.promotion.trusted_keys:
        trusted = trust.key(pin.key_id)
        why = str(trusted) if isinstance(trusted, Reason) else ""
        if not why and pin.retired_at is not None:
            why = f"retired: counts for statements from before {pin.retired_at} alone"
        found.append(Listed(pin, by_id.get(pin.key_id), why))
    pinned = {pin.key_id for pin in stack.promotion.trusted_keys}
    others = [a for a in anchors.keys if a.key_id not in pinned]
    return found + [Listed(None, a, "the image lists it, the stack does not") for a in others]


def show(found: Sequence[Listed], console: Console) -> None:
    if not console.is_terminal:
        for key in found:
            v = key.values()
            words = [v["keyId"], v["geography"], v["name"] or "-", v["version"] or "-", ",".join(v["statementTypes"])]
            console.print(*words, key.why or "counts", soft_wrap=True, markup=False, highlight=False)
        return
    table = Table("key", "version", "geography", "signs", "counts")
    for key in found:
        v = key.values()
        counts = f"[yellow]{key.why}[/]" if key.why else "[green]yes[/]"
        name = f"{v['name'] or 'not pinned'}\n[dim]{v['keyId'][:16]}[/]"
        table.add_row(name, v["version"] or "", v["geography"], "\n".join(v["statementTypes"]), counts)
    console.print(table)


@dataclass(frozen=True)
class NewKey:
    """A key to be trusted."""

    name: str
    version: str
    geography: GeographyName
    types: tuple[StatementType, ...]
    public: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

    @property
    def spki(self) -> bytes:
        return self.public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_key(pem: bytes) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
    """Of a PEM file. Raises `TrustRefused`; a private key is refused like anything else."""
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError:
        raise TrustRefused("expected a public key in PEM (az keyvault key download --encoding PEM)") from None
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise TrustRefused("expected an ECDSA P-256 or Ed25519 key")


async def added(
    project: Project,
    stacks: Sequence[str],
    name: str,
    geography: GeographyName,
    types: tuple[StatementType, ...],
    version: str | None,
    file: Path | None,
) -> list[str]:
    """Read a key from the first stack's vault, or from a file, and add it; answers the changed files."""
    config = project.valid(stacks[0])
    if file is not None:
        if version is None:
            raise TrustRefused("expected the key's version with its file: keys are pinned by version")
        key = NewKey(name, version, geography, types, public_key(file.read_bytes()))
    else:
        async with operating(project, config) as operator:
            found, public = await operator.public_key(geography, name, version)
        key = NewKey(name, found, geography, types, public)
    return list(dict.fromkeys(path for stack in stacks for path in add(project, stack, key)))


def add(project: Project, name: str, key: NewKey) -> list[str]:
    """Pin a key in the stack's file, and list it among the anchors; answers the changed files."""
    stack = project.valid(name)
    key_id = key_id_of(key.spki)
    if key_id in {k.key_id for k in stack.promotion.trusted_keys}:
        raise TrustRefused(f"stack {name} lists this key already ({key_id[:16]})")
    pin = {
        "keyId": key_id,
        "name": key.name,
        "version": key.version,
        "geography": str(key.geography),
        "statementTypes": [str(t) for t in key.types],
    }
    count = len(stack.promotion.trusted_keys)
    changed = [_edited(project, name, (*KEY, count), pin)]
    return changed + _anchored(project, stack, key, key_id)


def retire(project: Project, name: str, key_id: str, *, when: str | None = None, alone: bool = False) -> list[str]:
    """Statements from then on count no more; answers the changed files. `key_id` may be its beginning."""
    stack = project.valid(name)
    keys = stack.promotion.trusted_keys
    found = [(n, k) for n, k in enumerate(keys) if k.key_id.startswith(key_id) and len(key_id) >= 8]
    if len(found) != 1:
        raise TrustRefused(f"expected the id of one key of stack {name}, or its first 8 characters or more")
    ((index, key),) = found
    if key.retired_at is not None:
        raise TrustRefused(f"{key.name} {key.version} is retired since {key.retired_at}")
    rest = {
        t for k in keys if k is not key and k.geography is key.geography and not k.retired_at for t in k.statement_types
    }
    lacking = [str(t) for t in key.statement_types if t not in rest]
    if lacking and not alone:
        problem = TrustRefused(f"nobody else may sign {', '.join(lacking)} for {key.geography} in stack {name}")
        problem.advice = "add its successor first, so that both overlap; --alone retires it nevertheless"
        raise problem
    return [_edited(project, name, (*KEY, index, "retiredAt"), when or at(datetime.now(UTC)))]


def _edited(project: Project, name: str, path: ConfigPath, wanted: Any) -> str:
    """Change the stack's file; a result that would be invalid is not written."""
    file = project.stack_file(name)
    place = project.root / file
    before = place.read_bytes().decode("utf-8")
    try:
        after = with_value(before, _with_list(before, path), wanted, _concerns)
    except EditImpossible as problem:
        raise TrustRefused(f"{file} cannot be changed: {problem}") from None
    _write(place, after)
    loaded = project.load(name)
    if loaded.stack is None:
        _write(place, before)
        raise StackInvalid(name, loaded.errors)
    return file


def _with_list(text: str, path: ConfigPath) -> ConfigPath:
    value = read_yaml(text, _concerns).value
    for part in KEY:
        if not isinstance(value, dict) or part not in value:
            raise TrustRefused("expected promotion.trustedKeys in the stack's file")
        value = cast("dict[str, Any]", value)[part]
    return path


def _concerns(path: ConfigPath) -> bool:
    """Of a stack's file our own keys alone concern us."""
    return len(path) < 2 or (path[0] == "config" and str(path[1]).startswith(f"{PROJECT}:"))


def _anchored(project: Project, stack: StackConfig, key: NewKey, key_id: str) -> list[str]:
    """List the key among the anchors, one a line, unless it is there."""
    if key_id in {a.key_id for a in anchors_of(stack.cloud, project.files).keys}:
        return []
    file = ANCHOR_FILES[stack.cloud]
    place = project.root / file
    entry = {
        "keyId": key_id,
        "publicKey": base64.b64encode(key.spki).decode(),
        "geography": str(key.geography),
        "statementTypes": [str(t) for t in key.types],
    }
    text = place.read_text("utf-8")
    match = re.search(r"\s*\]\s*\}\s*\Z", text)
    if match is None:
        raise TrustRefused(f"{file}: expected a list of keys at its end")
    head = text[: match.start()]
    comma = "" if head.endswith("[") else ","
    _write(place, f"{head}{comma}\n  {canonical(entry).decode()}\n]}}\n")
    anchors_of(stack.cloud, project.files)
    return [file]


def _write(place: Path, text: str) -> None:
    place.write_bytes(text.encode("utf-8"))
