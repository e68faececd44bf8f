"""Who asked for a change, as a signed trailer: it counts for that change on that base by a portal key alone."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.promotion.reasons import Code
from schemas.promotion.requester import (
    TRAILER,
    ChangeRequest,
    Unproven,
    changes_digest,
    payload,
    requester_of,
    to_sign,
    trailers,
)
from schemas.promotion.statement import Account
from schemas.promotion.trust import Trust, key_id_of
from schemas.vocabulary import GeographyName, Stage
from tests.support.samples import load
from tests.support.statements import emulated_anchors, private_key

BASE = "a" * 40
FILES: dict[str, bytes | None] = {"organizations/local/prairie.yaml": b"id: prairie\n", "approvals/old.json": None}
WHO = Account(tenant_id="1a1a1a1a-0000-4000-8000-000000000001", object_id="3c3c3c3c-0000-4000-8000-000000000018")
REQUEST = ChangeRequest(
    base=BASE,
    changes=changes_digest(FILES),
    geography=GeographyName.AMERICAS,
    requester=WHO,
    issued="2026-06-01T11:00:00Z",
)
PORTAL = private_key(Stage.TEST, GeographyName.AMERICAS, "portal-signing")


def trust() -> Trust:
    stack = load("Pulumi.local.yaml").stack
    assert stack is not None
    return Trust(stack.promotion.trusted_keys, emulated_anchors())


def key_id(key: ec.EllipticCurvePrivateKey) -> str:
    return key_id_of(
        key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def message(request: ChangeRequest = REQUEST, key: ec.EllipticCurvePrivateKey = PORTAL, **changes: Any) -> str:
    body = payload(request)
    signature = key.sign(changes.get("signed", to_sign(body)), ec.ECDSA(hashes.SHA256()))
    return f"Change prairie\n\n{trailers(body, key_id(key), signature)}"


def test_a_trailer_of_the_portal_names_who_asked() -> None:
    assert requester_of(message(), BASE, FILES, trust()) == REQUEST


def test_a_commit_without_the_trailer_names_nobody() -> None:
    said = "Change prairie\n\nRequested-by: 1a1a1a1a-0000-4000-8000-000000000001/3c3c3c3c-0000-4000-8000-000000000018\n"
    assert requester_of(said, BASE, FILES, trust()) is None


def _swapped(text: str, **changes: object) -> str:
    head, _, value = text.rpartition(f"{TRAILER}: ")
    envelope = {**json.loads(base64.b64decode(value)), **changes}
    return f"{head}{TRAILER}: {base64.b64encode(json.dumps(envelope).encode()).decode()}\n"


OTHER_PERSON = REQUEST.model_copy(update={"requester": WHO.model_copy(update={"object_id": WHO.tenant_id})})

FORGERIES = {
    "somebody else beneath the same signature": (
        _swapped(message(), payload=base64.b64encode(payload(OTHER_PERSON)).decode()),
        "the signature of key",
    ),
    "signed by the worker's key": (
        message(key=private_key(Stage.TEST, GeographyName.AMERICAS, "worker-signing")),
        "statements of type approval",
    ),
    "signed by another geography's portal": (
        message(key=private_key(Stage.TEST, GeographyName.EMEA, "portal-signing")),
        "a key of americas",
    ),
    "signed by a key of one's own": (
        message(key=ec.generate_private_key(ec.SECP256R1())),
        "a key that the stack's trustedKeys list",
    ),
    "another payload type": (_swapped(message(), payloadType="application/vnd.in-toto+json"), "payloadType"),
    "an unknown field": (_swapped(message(), more=1), "a signed trailer"),
    "no base64": (f"x\n\n{TRAILER}: %%%\n", "a signed trailer"),
    "twice": (message() + f"{TRAILER}: AAAA\n", "one trailer"),
    "people are told another name": (
        message().replace(f"Requested-by: {WHO.tenant_id}/", "Requested-by: 99999999-0000-4000-8000-000000000001/"),
        "whom the signature names",
    ),
}


BY_PROMOTION = {
    "signed by the worker's key": Code.KEY_TYPE,
    "signed by another geography's portal": Code.KEY_SCOPE,
    "signed by a key of one's own": Code.KEY_UNKNOWN,
}
"""The forgeries that are known by a rule of promotion."""


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(forged, id=name, marks=[pytest.mark.rule(BY_PROMOTION[name])] if name in BY_PROMOTION else [])
        for name, forged in FORGERIES.items()
    ],
)
def test_a_forged_trailer_proves_nothing(forged: tuple[str, str]) -> None:
    text, expected = forged
    found = requester_of(text, BASE, FILES, trust())
    assert isinstance(found, Unproven)
    assert expected in found.message


@pytest.mark.parametrize(
    ("base", "files"),
    [
        ("b" * 40, FILES),
        (BASE, {**FILES, "Pulumi.local.yaml": b""}),
        (BASE, {**FILES, "approvals/old.json": b""}),
        (BASE, {"organizations/local/prairie.yaml": b"id: prairie\n"}),
        (BASE, {**FILES, "organizations/local/prairie.yaml": b"id: prairie \n"}),
    ],
)
def test_a_trailer_counts_for_no_other_change(base: str, files: dict[str, bytes | None]) -> None:
    assert isinstance(requester_of(message(), base, files, trust()), Unproven)
