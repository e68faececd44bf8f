# pyright: reportPrivateUsage=false
"""No key or token of an app, or of a person, stands in what is published at GitHub or printed on the way there."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dulwich.repo import Repo

from tests.support import github as portal_site
from tests.support.bare_repository import BareRepository
from tests.support.github import GitHub
from tests.support.github_site import FULL_NAME
from tests.support.needles import Needles, parts_of, private_parts
from tests.support.pull_requests import accepted_scene
from tests.unit.test_merge_github import World, opened
from workflow.merge.app_token import app_token
from workflow.merge.run import post_reports

Places = list[tuple[str, bytes]]


def objects(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Branches, and every commit, tree and file of a repository."""
    with Repo(str(folder)) as repo:
        yield "branches", b"\n".join(repo.refs.as_dict())
        for sha in repo.object_store:
            yield sha.decode(), repo[sha].as_raw_string()


def pem(key: rsa.RSAPrivateKey) -> str:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def credentials_of(requests: list[httpx.Request]) -> set[bytes]:
    """What was sent: the app's proofs, and the tokens that it got for them."""
    sent = [r.headers["authorization"].partition(" ")[2] for r in requests]
    return {part for value in sent for part in parts_of(value)}


def found_in(places: Places, sent: set[bytes], key: rsa.RSAPrivateKey) -> list[str]:
    """What is found; and, as a search must be able to fail, what is planted in any of the places must be."""
    needles = Needles({"sent": sent, "key": set(private_parts(pem(key)))})
    planted = max(sent, key=len)
    for name, data in places:
        assert needles.found_in([(name, data + b"\n" + planted)]), name
    return needles.found_in(places)


def test_the_portals_proposals_carry_neither_token_nor_key(tmp_path: Path) -> None:
    bare = BareRepository.new(tmp_path / "remote.git", {"Pulumi.local.yaml": b"config: {}\n"})
    hub = GitHub.with_repository(bare.folder)
    files = {"Pulumi.local.yaml": b"config: {a: b}\n"}
    made = asyncio.run(hub.repository().propose("connector/edit-prairie-1", files, "Edit Prairie\n", title="Edit"))
    assert made
    sent = credentials_of(hub.requests)
    assert any(value.startswith(b"ghs_") for value in sent)
    assert len(sent) >= 3, "a proof in two parts, and a token"
    bodies: Places = [(f"{r.method} {r.url}", r.content) for r in hub.requests]
    assert any("/pulls" in name for name, _ in bodies)
    assert found_in([*objects(bare.folder), *bodies], sent, portal_site._key()) == []


def published(world: World) -> Places:
    """Pull requests, reviews, comments, checks and statuses."""
    robin, head = world.people["robin"], world.github.head("promote")
    paths = ("pulls/1", "pulls/1/reviews", "issues/1/comments", f"commits/{head}/check-runs", f"commits/{head}/status")
    return [(path, json.dumps(robin.made("GET", path)).encode()) for path in paths]


def test_what_the_gate_posts_and_prints_carries_neither_token_nor_key(tmp_path: Path) -> None:
    world = opened(tmp_path, accepted_scene())
    sent: list[httpx.Request] = []
    world.github.client.event_hooks = {"request": [sent.append]}
    world.approve()
    _, said = world.check()
    (gate,) = (i for i in world.github.site.installations.values() if i.app.slug == "gate")
    key = world.github.keys[gate.app.id]
    rights = {"checks": "write", "pull_requests": "read", "contents": "read"}
    with app_token(world.github.client, gate.app.id, gate.id, pem(key), FULL_NAME, rights, world.github.now) as token:
        post_reports(world.github.client, FULL_NAME, token, world.reports, said.append)
    assert token.encode() in credentials_of(sent)
    places: Places = [*published(world), *objects(world.github.folder), ("printed", "\n".join(said).encode())]
    places += [(r.url.path, r.content) for r in sent]
    places += [(f.name, f.read_bytes()) for f in world.reports.iterdir()]
    assert any(json.loads(data).get("check_runs") for name, data in places if name.endswith("check-runs") and data)
    assert found_in(places, credentials_of(sent), key) == []
