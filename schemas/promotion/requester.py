"""Who asked for a change, as a signed trailer of its commit: `Connector-Requester`.

A commit that the portal proposes has no author whom anybody could ask: the trailer says for which person it was made,
by tenant and object id, and is signed by a portal key (one that may sign statements of type `approval`). It is a DSSE
envelope with a payload type of its own, in base64, over the base commit, the digest of the changed files and the
person; so it counts for this change on this base alone, and no statement passes for one nor the other way round.

Owns making and verifying, both pure. Whoever verifies brings the commit's message, its parent and what it changes.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from pydantic import Field, StringConstraints, ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import Signature  # pyright: ignore[reportPrivateImportUsage] # in its __all__ by name only

from schemas.config_model import ConfigModel
from schemas.promotion.canonical import Base64, NotStrictJson, canonical, digest, read_base64, read_json
from schemas.promotion.reasons import Reason
from schemas.promotion.statement import Account
from schemas.promotion.trust import Trust
from schemas.scalars import KeyId, Sha256, Timestamp
from schemas.vocabulary import GeographyName, StatementType

TRAILER = "Connector-Requester"
READABLE_TRAILER = "Requested-by"
"""For people; it counts for nothing, and may not say otherwise."""

PAYLOAD_TYPE = "application/vnd.teams-ehr-connector.requester+json"
SIGNED_BY = StatementType.APPROVAL
"""Keys that may sign approvals, the portal's, sign requesters too."""

Revision = Annotated[str, StringConstraints(pattern=r"^(?:[0-9a-f]{40}|[0-9a-f]{64})$")]
"""A git commit."""

_ShortBase64 = Annotated[Base64, Field(max_length=3000)]


class ChangeRequest(ConfigModel):
    """The signed content: this person asks for this change on top of this commit."""

    form: Literal[1] = 1
    base: Revision
    changes: Sha256
    geography: GeographyName
    requester: Account
    issued: Timestamp


class _Envelope(ConfigModel):
    payload: _ShortBase64
    payload_type: str
    keyid: KeyId
    sig: _ShortBase64


@dataclass(frozen=True)
class Unproven:
    """There is a trailer, and it does not prove who asked; `expected` and `got` complete the usual sentence."""

    expected: str
    got: str

    @property
    def message(self) -> str:
        return f"expected {self.expected}, got {self.got}"


def changes_digest(files: Mapping[str, bytes | None]) -> str:
    """The digest of a change: each path with the SHA-256 of its new content, or null where it is removed."""
    changes = {
        path: None if content is None else hashlib.sha256(content).hexdigest() for path, content in files.items()
    }
    return digest("changes/1", canonical(changes))


def payload(request: ChangeRequest) -> bytes:
    return canonical(request.model_dump(mode="json", by_alias=True))


def to_sign(body: bytes) -> bytes:
    """The bytes that the signature covers (DSSE's pre-authentication encoding)."""
    return Envelope(body, PAYLOAD_TYPE, {}).pae()


def trailers(body: bytes, key_id: str, signature: bytes) -> str:
    """The last lines of the commit's message. The signature is DER for ECDSA."""
    request = ChangeRequest.model_validate(read_json(body), by_alias=True, by_name=False)
    envelope = {
        "payload": base64.b64encode(body).decode(),
        "payloadType": PAYLOAD_TYPE,
        "keyid": key_id,
        "sig": base64.b64encode(signature).decode(),
    }
    value = base64.b64encode(canonical(cast(Any, envelope))).decode()
    return f"{READABLE_TRAILER}: {_readable(request)}\n{TRAILER}: {value}\n"


def requester_of(
    message: str, base: str, files: Mapping[str, bytes | None], trust: Trust
) -> ChangeRequest | Unproven | None:
    """Who asked for the commit with this message, parent and changed files; None where it has no such trailer."""
    values = _trailer(message, TRAILER)
    if not values:
        return None
    if len(values) > 1:
        return Unproven(f"one trailer {TRAILER}", f"{len(values)}")
    try:
        envelope = _Envelope.model_validate(read_json(read_base64(values[0])), by_alias=True, by_name=False)
    except (NotStrictJson, ValidationError):
        return Unproven(f"a signed trailer {TRAILER}", "something else")
    if envelope.payload_type != PAYLOAD_TYPE:
        return Unproven(f"payloadType {PAYLOAD_TYPE}", "another")
    request = _verified(envelope.payload, envelope.keyid, envelope.sig, trust)
    return request if isinstance(request, Unproven) else _of_this_change(request, message, base, files)


def _verified(body: bytes, key_id: str, signature: bytes, trust: Trust) -> ChangeRequest | Unproven:
    trusted = trust.key(key_id)
    if isinstance(trusted, Reason):
        return Unproven(trusted.expected, trusted.got)
    try:
        Envelope(body, PAYLOAD_TYPE, {key_id: Signature(key_id, signature.hex())}).verify([trusted.anchor.key], 1)
    except (UnverifiedSignatureError, VerificationError):
        return Unproven(f"the signature of key {key_id[:16]}", "one that does not fit the trailer")
    try:
        value = read_json(body)
        request = ChangeRequest.model_validate(value, by_alias=True, by_name=False)
    except (NotStrictJson, ValidationError):
        return Unproven("a request as the portal signs it", "something else")
    if canonical(value) != body:
        return Unproven("the RFC 8785 form of the request", "another spelling of it")
    if problem := trust.permits(trusted, SIGNED_BY, request.geography, request.issued):
        return Unproven(problem.expected, problem.got)
    return request


def _of_this_change(
    request: ChangeRequest, message: str, base: str, files: Mapping[str, bytes | None]
) -> ChangeRequest | Unproven:
    if request.base != base:
        return Unproven(f"a commit on top of {request.base[:12]}", f"one on top of {base[:12]}")
    if request.changes != changes_digest(files):
        return Unproven("the change that the portal proposed", "another")
    if any(said != _readable(request) for said in _trailer(message, READABLE_TRAILER)):
        return Unproven(f"{READABLE_TRAILER} to say whom the signature names", "somebody else")
    return request


def _readable(request: ChangeRequest) -> str:
    return f"{request.requester.tenant_id}/{request.requester.object_id}"


def _trailer(message: str, name: str) -> list[str]:
    """Its values, wherever in the message a line could be taken for one."""
    return re.findall(rf"^[ \t]*{name}[ \t]*:[ \t]*(.*?)[ \t\r]*$", message, re.MULTILINE | re.IGNORECASE)
