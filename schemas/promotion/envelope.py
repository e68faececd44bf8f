"""DSSE: from a statement's file to a verified statement, or to the reason why it does not count.

Owns the envelope (one signature, by key id; "Dead Simple Signing Envelope" v1.0.2, over its pre-authentication
encoding) and the order of the checks: nothing of the payload is looked at before a trusted key signed it. The payload
must be the RFC 8785 form of what was understood, so a statement has one spelling and one file, and nothing in it is
read as something else (a number in quotes, a null).
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, cast
from weakref import WeakKeyDictionary

from pydantic import Field, ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import Signature  # pyright: ignore[reportPrivateImportUsage] # in its __all__ by name only

from schemas.config_model import ConfigModel
from schemas.problems import bare
from schemas.promotion.canonical import Base64, NotStrictJson, canonical, read_json
from schemas.promotion.reasons import Code, Reason
from schemas.promotion.statement import (
    PAYLOAD_TYPE,
    PREDICATES,
    Predicate,
    Revocations,
    Statement,
    place_of,
    revocations_digest,
    subject_name,
)
from schemas.promotion.statement import payload as signable
from schemas.promotion.trust import Trust
from schemas.scalars import KeyId
from schemas.vocabulary import StatementType


class _Signature(ConfigModel):
    keyid: KeyId
    sig: Base64


class _File(ConfigModel):
    payload: Base64
    payload_type: str
    signatures: Annotated[tuple[_Signature, ...], Field(min_length=1, max_length=1)]


@dataclass(frozen=True)
class StatementFile:
    """A file below `approvals/`: its path in the project, and its bytes."""

    path: str
    content: bytes


@dataclass(frozen=True)
class Verified:
    """A statement that a trusted key signed. `sha256` is its subject's digest."""

    path: str
    kind: StatementType
    key_id: str
    sha256: str
    predicate: Predicate


@dataclass(frozen=True)
class Rejected:
    """A file that does not count."""

    path: str
    reason: Reason


def unsigned(payload: bytes) -> Envelope:
    """The envelope to be signed; `pae()` gives the bytes that the signature covers."""
    return Envelope(payload, PAYLOAD_TYPE, {})


def signed(payload: bytes, key_id: str, signature: bytes) -> bytes:
    """A statement file's content, from a payload and its signature (DER for ECDSA)."""
    envelope = unsigned(payload)
    envelope.signatures[key_id] = Signature(key_id, signature.hex())
    return canonical(cast("Any", envelope).to_dict()) + b"\n"


@dataclass(frozen=True)
class Parts:
    """Of a file as `signed` writes it: the payload's text, the key's id, and the signature in base64."""

    payload: str
    key_id: str
    signature: str


def parts_of(content: bytes) -> Parts | None:
    """The parts from which `content_of` makes the same bytes again; None where the content is of any other form."""
    found = _SIGNED.fullmatch(content)
    if found is None:
        return None
    payload, key_id, signature = found.groups()
    try:
        parts = Parts(base64.b64decode(payload).decode(), key_id.decode(), signature.decode())
    except ValueError:
        return None
    return parts if content_of(parts) == content else None


def content_of(parts: Parts) -> bytes:
    payload = base64.b64encode(parts.payload.encode()).decode()
    return f"{_HEAD}{payload}{_KEY}{parts.key_id}{_SIGNATURE}{parts.signature}{_TAIL}".encode()


_HEAD, _KEY = '{"payload":"', f'","payloadType":"{PAYLOAD_TYPE}","signatures":[{{"keyid":"'
_SIGNATURE, _TAIL = '","sig":"', '"}]}\n'
_BASE64 = "([A-Za-z0-9+/]+=*)"
_SIGNED = re.compile(
    f"{re.escape(_HEAD)}{_BASE64}{re.escape(_KEY)}([0-9a-f]{{64}}){re.escape(_SIGNATURE)}{_BASE64}{re.escape(_TAIL)}".encode()
)


def verify(file: StatementFile, trust: Trust, *, placed: bool = True) -> Verified | Rejected:
    """The statement in a file. `placed` says whether its path must be the one that it belongs to."""
    found = _verify(file, trust)
    if isinstance(found, Reason):
        return Rejected(file.path, Reason(found.code, found.expected, found.got, _plain(file.path)))
    if placed and (place := place_of(found.predicate)) != file.path:
        expected = f"this statement at {place}" if place else "a statement that belongs below approvals/"
        return Rejected(file.path, Reason(Code.STATEMENT_MISPLACED, expected, "it here", _plain(file.path)))
    return found


Found = dict[str, tuple[bytes, Verified | Rejected]]
"""By path: its content, and what was found of it."""


def find(files: Iterable[StatementFile], trust: Trust) -> Found:
    """What is found of files with paths of their own."""
    return {file.path: (file.content, verify(file, trust)) for file in files}


def remember(found: Found, trust: Trust) -> None:
    """What was found with the same keys by another process: `verify_all` verifies it no more."""
    _FOUND.setdefault(trust, {}).update(found)


def verify_all(files: Iterable[StatementFile], trust: Trust) -> tuple[list[Verified], list[Rejected]]:
    """Those that count, and those that do not.

    Who decides each minute verifies what is new only: what was found of a path with the same trust stands while its
    content is the same, as time is not asked here.
    """
    known = _FOUND.setdefault(trust, {})
    verified: list[Verified] = []
    rejected: list[Rejected] = []
    for file in dict.fromkeys(files):
        content, found = known.get(file.path, (None, None))
        if found is None or content != file.content:
            found = verify(file, trust)
            known[file.path] = file.content, found
        if isinstance(found, Verified):
            verified.append(found)
        else:
            rejected.append(found)
    return verified, rejected


_FOUND: WeakKeyDictionary[Trust, Found] = WeakKeyDictionary()


def _verify(file: StatementFile, trust: Trust) -> Verified | Reason:
    envelope = _envelope(file.content)
    if isinstance(envelope, Reason):
        return envelope
    if envelope.payload_type != PAYLOAD_TYPE:
        return Reason(Code.PAYLOAD_TYPE, f"payloadType {PAYLOAD_TYPE}", "another")
    (key_id,) = envelope.signatures
    trusted = trust.key(key_id)
    if isinstance(trusted, Reason):
        return trusted
    try:
        envelope.verify([trusted.anchor.key], 1)
    except (UnverifiedSignatureError, VerificationError):
        return Reason(
            Code.SIGNATURE_INVALID, f"the signature of key {key_id[:16]}", "one that does not fit the payload"
        )
    parsed = _statement(envelope.payload)
    if isinstance(parsed, Reason):
        return parsed
    kind, statement, predicate = parsed
    problem = trust.permits(trusted, kind, predicate.geography, predicate.issued)
    return problem or Verified(file.path, kind, key_id, statement.subject[0].digest.sha256, predicate)


def _envelope(content: bytes) -> Envelope | Reason:
    try:
        file = _File.model_validate(read_json(content), by_alias=True, by_name=False)
    except (NotStrictJson, ValidationError) as e:
        return Reason(Code.STATEMENT_MALFORMED, "a DSSE envelope with one signature", _problem(e))
    (signature,) = file.signatures
    signatures = {signature.keyid: Signature(signature.keyid, signature.sig.hex())}
    return Envelope(file.payload, file.payload_type, signatures)


def _statement(payload: bytes) -> tuple[StatementType, Statement, Predicate] | Reason:
    try:
        value = read_json(payload)
        statement = Statement.model_validate(value, by_alias=True, by_name=False)
    except (NotStrictJson, ValidationError) as e:
        return Reason(Code.STATEMENT_MALFORMED, "an in-toto Statement v1", _problem(e))
    known = PREDICATES.get(statement.predicate_type)
    if known is None:
        return Reason(Code.STATEMENT_TYPE, "a predicate type of this connector", "another")
    kind, model = known
    try:
        predicate = model.model_validate(statement.predicate, by_alias=True, by_name=False)
    except ValidationError as e:
        return Reason(Code.STATEMENT_MALFORMED, f"a statement of type {kind}", _problem(e))
    if subject_name(predicate) != statement.subject[0].name:
        return Reason(Code.STATEMENT_MALFORMED, f"the subject {subject_name(predicate)}", statement.subject[0].name)
    if isinstance(predicate, Revocations) and statement.subject[0].digest.sha256 != revocations_digest(predicate):
        return Reason(Code.STATEMENT_MALFORMED, "the digest of the list itself", "another")
    if signable(predicate, statement.subject[0].digest.sha256) != payload:
        return Reason(Code.STATEMENT_NOT_CANONICAL, "the RFC 8785 form of the statement", "another spelling of it")
    return kind, statement, predicate


def _plain(path: str) -> str:
    """A path that somebody chose, for a terminal or a page: nothing in it but what our own paths are made of."""
    return re.sub(r"[^A-Za-z0-9._/-]", "?", path[:200])


def _problem(e: Exception) -> str:
    """What is wrong with a value, by place and kind, without the value."""
    if isinstance(e, ValidationError):
        first = e.errors(include_url=False, include_context=False, include_input=False)[0]
        place = bare(".".join(map(str, first["loc"]))) or "the whole"
        return f"{place}: {first['msg'].lower()}"
    return str(e) or "something else"
