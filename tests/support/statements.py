"""Statements for tests, signed with the emulated cloud's keys: every sample organisation approved and rehearsed.

Owns signing without a vault, and the whole accepted set from which attacks start.
"""

import base64
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, cast

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from securesystemslib.dsse import Envelope
from securesystemslib.signer import Signature  # pyright: ignore[reportPrivateImportUsage] # in its __all__ by name only

from schemas.promotion.approvals import Approvals
from schemas.promotion.canonical import canonical
from schemas.promotion.decide import is_one_person
from schemas.promotion.digest import connection_digest
from schemas.promotion.envelope import StatementFile, signed, unsigned
from schemas.promotion.promoted import Promoted, PromotedConnection
from schemas.promotion.statement import (
    Account,
    Approval,
    ConnectionReference,
    Evidence,
    Predicate,
    Rehearsal,
    Release,
    Revocations,
    Verdict,
    at,
    payload,
    place_of,
)
from schemas.promotion.trust import TrustAnchors, key_id_of, read_anchors
from schemas.stack_config import EhrConnection, Organization, StackConfig
from schemas.vocabulary import GeographyName, Stage
from tests.support.samples import ROOT

IMAGE = "registry.local/connector@sha256:" + "a" * 64
NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)


@cache
def emulated_anchors() -> TrustAnchors:
    return read_anchors((ROOT / "schemas/promotion/anchors/emulated.json").read_bytes())


@cache
def _brought() -> dict[tuple[str, str, str], ec.EllipticCurvePrivateKey]:
    keys = json.loads((ROOT / "emulators/azure/brought_keys.json").read_text())
    return {
        (k["stage"], k["geography"], k["name"]): cast(
            ec.EllipticCurvePrivateKey, serialization.load_pem_private_key(k["pem"].encode(), None)
        )
        for k in keys
    }


def private_key(stage: Stage, geography: GeographyName, name: str) -> ec.EllipticCurvePrivateKey:
    """A signing key of the emulated cloud: `portal-signing`, `worker-signing` or `revocation-signing`."""
    return _brought()[stage, geography, name]


def public_key_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """SubjectPublicKeyInfo in DER."""
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def sign(key: ec.EllipticCurvePrivateKey, body: bytes, key_id: str | None = None) -> bytes:
    """A statement file's content from a payload; another `key_id` is a lie."""
    signature = key.sign(unsigned(body).pae(), ec.ECDSA(hashes.SHA256()))
    return signed(body, key_id or key_id_of(public_key_of(key)), signature)


def sign_as(key: ec.EllipticCurvePrivateKey, body: bytes, payload_type: str) -> bytes:
    """A payload of another type, which the signature covers."""
    envelope = Envelope(body, payload_type, {})
    key_id = key_id_of(public_key_of(key))
    envelope.signatures[key_id] = Signature(key_id, key.sign(envelope.pae(), ec.ECDSA(hashes.SHA256())).hex())
    return canonical(cast("Any", envelope).to_dict()) + b"\n"


def vault_signature(stage: Stage, geography: GeographyName, path: str, digest: str) -> str:
    """What a vault answers for `keys/<name>/<version>/sign`: r and s, in base64url as they come."""
    _, name, _, verb = path.strip("/").split("/")
    assert verb == "sign"
    key = private_key(stage, geography, name)
    hashed = base64.urlsafe_b64decode(digest + "==")
    r, s = decode_dss_signature(key.sign(hashed, ec.ECDSA(Prehashed(hashes.SHA256()))))
    return base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).rstrip(b"=").decode()


def statement_file(key: ec.EllipticCurvePrivateKey, predicate: Predicate, sha256: str | None = None) -> StatementFile:
    """A statement in its place."""
    path = place_of(predicate)
    assert path is not None
    return StatementFile(path, sign(key, payload(predicate, sha256)))


def digest_of(stack: StackConfig, organization: Organization, connection: EhrConnection) -> str:
    host = stack.geographies[organization.geography].public_hosts.of(connection.stage)
    return connection_digest(organization, connection, host)


def approval(
    organization: Organization,
    connection: EhrConnection,
    now: datetime = NOW,
    *,
    test: ConnectionReference | None = None,
    **changes: Any,
) -> Approval:
    values: dict[str, Any] = {
        "form": 1,
        "decision": Verdict.APPROVE,
        "organization": organization.id,
        "tenant_id": organization.tenant_id,
        "geography": organization.geography,
        "stage": connection.stage,
        "connection": connection.id,
        "fhir_base_url": connection.fhir_base_url,
        "approver": Account(tenant_id=connection.approver.tenant_id, object_id=connection.approver.object_id),
        "same_person": is_one_person(organization, connection),
        "evidence": Evidence(
            issuer=connection.clients.approval.issuer or connection.fhir_base_url,
            capability_sha256="0" * 64,
            software="Epic",
            version="August 2025",
            fhir_version="4.0.1",
            release=Release.ACCEPTED,
        ),
        "test_connection": test,
        "serial": 1,
        "issued": at(now - timedelta(hours=1)),
        "expires": at(now + timedelta(days=364)),
    }
    return Approval.model_validate({**values, **changes})


def rehearsal(organization: Organization, connection: str, now: datetime = NOW, **changes: Any) -> Rehearsal:
    values: dict[str, Any] = {
        "form": 1,
        "organization": organization.id,
        "geography": organization.geography,
        "connection": connection,
        "image": IMAGE.rpartition("@")[2],
        "issued": at(now - timedelta(minutes=30)),
        "expires": at(now + timedelta(days=180)),
    }
    return Rehearsal.model_validate({**values, **changes})


def revocations(geography: GeographyName, stage: Stage, now: datetime = NOW, **changes: Any) -> Revocations:
    values: dict[str, Any] = {
        "geography": geography,
        "stage": stage,
        "version": 1,
        "issued": at(now - timedelta(hours=2)),
        "expires": at(now + timedelta(days=7)),
        "revoked": (),
    }
    return Revocations.model_validate({**values, **changes})


def accepted(test: StackConfig, now: datetime = NOW, image: str = IMAGE) -> Approvals:
    """Everything approved, rehearsed and without revocation, in both stages; nothing is promoted yet."""
    files: list[StatementFile] = []
    for organization in test.organizations:
        files += _of(test, organization, now, image)
    for geography in test.geographies:
        for stage in Stage:
            key = private_key(stage, geography, "revocation-signing")
            files.append(statement_file(key, revocations(geography, stage, now)))
    return Approvals(tuple(files))


def _of(test: StackConfig, organization: Organization, now: datetime, image: str) -> Iterable[StatementFile]:
    portal = private_key(Stage.TEST, organization.geography, "portal-signing")
    worker = private_key(Stage.TEST, organization.geography, "worker-signing")
    tests = [c for c in organization.connections if c.stage is Stage.TEST]
    for connection in tests:
        sha256 = digest_of(test, organization, connection)
        yield statement_file(portal, approval(organization, connection, now), sha256)
        rehearsed = rehearsal(organization, connection.id, now, image=image.rpartition("@")[2])
        yield statement_file(worker, rehearsed, sha256)
    for connection in organization.connections:
        if connection.stage is Stage.PRODUCTION:
            stands_for = ConnectionReference(id=tests[0].id, sha256=digest_of(test, organization, tests[0]))
            given = approval(organization, connection, now, test=stands_for)
            yield statement_file(portal, given, digest_of(test, organization, connection))


def promoted(test: StackConfig, now: datetime = NOW) -> Promoted:
    """All production connections that the test stack proposes, promoted at their approval's time."""
    return Promoted(
        connections={
            c.id: PromotedConnection(
                sha256=digest_of(test, o, c), promoted_at=at(now - timedelta(minutes=10)), serial=1
            )
            for o in test.organizations
            for c in o.connections
            if c.stage is Stage.PRODUCTION
        }
    )
