"""The visit key and the pseudonyms derived under it.

Owns the one encoding of what is hashed: a purpose and fields, each preceded by its length, so that no two lists of
fields give the same bytes. Every value is HMAC-SHA-256 under the geography's key (RFC 2104). Leaves out where keys come
from (`keys.py`).
"""

import base64
import hmac

from schemas.vocabulary import VisitKind


def _pseudonym(key: bytes, purpose: str, *fields: bytes | str) -> bytes:
    message = bytearray()
    for field in (purpose, *fields):
        encoded = field.encode() if isinstance(field, str) else field
        message += len(encoded).to_bytes(8, "big") + encoded
    return hmac.digest(key, bytes(message), "sha256")


def visit_key(key: bytes, organization_id: str, connection_id: str, kind: VisitKind, session_id: str) -> bytes:
    """The 32 bytes that name a visit everywhere: HMAC over organisation, connection, kind and session id."""
    return _pseudonym(key, "visit-key/1", organization_id, connection_id, kind.value, session_id)


def patient_hash(key: bytes, visit: bytes, patient_id: str) -> bytes:
    """What a visit remembers of its patient: enough to tell a second one apart, and nothing to read."""
    return _pseudonym(key, "visit-patient/1", visit, patient_id)


def person_hash(key: bytes, visit: bytes, kind: str, tenant_id: str, identity: str) -> bytes:
    """A person of the meeting within one visit; the same person in another visit has another hash."""
    return _pseudonym(key, "visit-person/1", visit, kind, tenant_id.lower(), identity.lower())


def entry_hash(key: bytes, visit: bytes, roster_id: str) -> bytes:
    """One line of the meeting's roster: a person's one device."""
    return _pseudonym(key, "visit-roster/1", visit, roster_id)


def external_id(person: bytes) -> str:
    """How the EHR sees a person: 26 letters and digits, meaningless outside the visit."""
    return base64.b32encode(person)[:26].decode()
