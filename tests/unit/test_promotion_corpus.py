"""Statements of earlier versions: they verify after every change of a schema, and their digests are made again.

`tests/corpus/statements/` only grows: a folder is what one version of the canonical form and of the predicates signed,
with the configuration that it was about and the keys that counted then. Nothing in a folder is ever edited.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.promotion.digest import FORM, connection_digest
from schemas.promotion.envelope import StatementFile, Verified, verify
from schemas.promotion.trust import Trust, read_anchors
from schemas.promotion_config import TrustedKey
from schemas.stack_config import Organization
from schemas.vocabulary import StatementType
from tests.support import independent
from tests.support.accepted import OWN_KEY, PORTAL, PORTAL_ELSEWHERE, WORKER, World, accepted, payload_of, sha256_of
from tests.support.statements import ROOT, digest_of

FOLDER = ROOT / "tests" / "corpus" / "statements"
VERSIONS = sorted(f.name for f in FOLDER.iterdir() if f.is_dir())


def read(version: str, name: str) -> Any:
    return json.loads((FOLDER / version / f"{name}.json").read_text("utf-8"))


def files(version: str) -> list[StatementFile]:
    root = FOLDER / version
    found = sorted(f for part in ("approvals", "audit-heads") for f in (root / part).rglob("*.json"))
    return [StatementFile(f.relative_to(root).as_posix(), f.read_bytes()) for f in found]


def trust_of(version: str) -> Trust:
    said = read(version, "trust")
    pins = tuple(TrustedKey.model_validate(pin) for pin in said["trustedKeys"])
    return Trust(pins, read_anchors(json.dumps(said["anchors"]).encode()))


def test_there_is_a_folder_for_the_form_of_today() -> None:
    assert VERSIONS[-1] == f"v{FORM}"


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_statement_still_verifies_and_says_what_it_said(version: str) -> None:
    trust, expected = trust_of(version), read(version, "expected")["statements"]
    found = {f.path: verify(f, trust, placed=f.path.startswith("approvals/")) for f in files(version)}
    assert {p: v for p, v in found.items() if not isinstance(v, Verified)} == {}
    assert {
        f.path: {
            "type": v.kind,
            "keyId": v.key_id,
            "sha256": v.sha256,
            "payloadSha256": hashlib.sha256(payload_of(f)).hexdigest(),
        }
        for f in files(version)
        if isinstance(v := found[f.path], Verified)
    } == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_the_digest_of_an_old_configuration_is_what_was_approved(version: str) -> None:
    said = read(version, "configuration")
    digests = {
        f"{o.id}/{c.id}": connection_digest(o, c, said["launchHosts"][o.geography][c.stage])
        for o in map(Organization.model_validate, said["organizations"])
        for c in o.connections
    }
    assert digests == read(version, "expected")["connections"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_folder_has_every_type_of_statement(version: str) -> None:
    assert {s["type"] for s in read(version, "expected")["statements"].values()} == set(StatementType)


# --- without our code -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_the_independent_verifier_makes_every_digest_and_signature_again(version: str) -> None:
    assert independent.verified(FOLDER / version) == read(version, "expected")


def test_the_independent_verifier_agrees_on_the_sample_stacks(tmp_path: Path) -> None:
    world = accepted()
    values = [o.model_dump(mode="json", by_alias=True, exclude_none=True) for o in world.test.organizations]
    hosts = {g: c.public_hosts.model_dump(mode="json") for g, c in world.test.geographies.items()}
    content = {f.path: f.content for f in world.approvals.statements}
    independent.write(tmp_path, content, {"organizations": values, "launchHosts": hosts}, sample_trust(world))
    said = independent.verified(tmp_path)
    assert said["connections"] == {
        f"{o.id}/{c.id}": digest_of(world.test, o, c) for o in world.test.organizations for c in o.connections
    }
    assert {path: s.get("sha256") for path, s in said["statements"].items()} == {
        f.path: sha256_of(f) for f in world.approvals.statements
    }


def sample_trust(world: World) -> dict[str, Any]:
    pins = {k.key_id: k for s in (world.test, world.production) for k in s.promotion.trusted_keys}
    return {
        "anchors": world.anchors.model_dump(mode="json", by_alias=True),
        "trustedKeys": [p.model_dump(mode="json", by_alias=True, exclude_none=True) for p in pins.values()],
    }


APPROVAL = "approvals/lakeside/lakeside-production/approval-000001-approve.json"

TAMPERED: dict[str, Callable[[World], World]] = {
    "one byte of the payload": lambda w: w.bytes_changed(APPROVAL, lambda b: b.replace(b'"eyJf', b'"eyJg')),
    "another payload type": lambda w: w.bytes_changed(APPROVAL, lambda b: b.replace(b"in-toto+json", b"in-toto+jsom")),
    "a key that nobody lists": lambda w: w.said_anew(APPROVAL, OWN_KEY),
    "a key of another type": lambda w: w.said_anew(APPROVAL, WORKER),
    "a key of another geography": lambda w: w.said_anew(APPROVAL, PORTAL_ELSEWHERE),
    "a duplicate key": lambda w: w.payload_changed(
        APPROVAL, PORTAL, lambda b: b.replace(b'"serial":1', b'"serial":1,"serial":1')
    ),
    "a space": lambda w: w.payload_changed(APPROVAL, PORTAL, lambda b: b.replace(b'"serial":1', b'"serial": 1')),
    "another subject": lambda w: w.payload_changed(APPROVAL, PORTAL, lambda b: b.replace(b'"lakeside/', b'"prairie/')),
    "another predicate": lambda w: w.payload_changed(
        APPROVAL, PORTAL, lambda b: b.replace(b":approval:1", b":approval:2")
    ),
}


def test_the_independent_verifier_refuses_what_was_tampered_with(tmp_path: Path) -> None:
    for name, tamper in TAMPERED.items():
        folder = tmp_path / name.replace(" ", "-")
        changed = tamper(accepted()).file(APPROVAL)
        moved = StatementFile(APPROVAL.replace("000001", "000002"), accepted().file(APPROVAL).content)
        content = {f.path: f.content for f in (changed, moved)}
        independent.write(folder, content, {"organizations": [], "launchHosts": {}}, sample_trust(accepted()))
        said = independent.verified(folder)["statements"]
        assert all("refused" in s for s in said.values()), (name, said)
