"""Changes of an accepted pull request, one each: what somebody would do to get through the gate what must not.

The table that names the one reason for each is in `tests/unit/test_merge_gate.py`.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.promotion.promoted import FILE, Promoted
from schemas.promotion.requester import ChangeRequest, changes_digest, payload, to_sign, trailers
from schemas.promotion.statement import Account
from schemas.promotion.trust import key_id_of
from schemas.vocabulary import GeographyName, Stage
from tests.support.pull_requests import (
    CONNECTION,
    NEW,
    OLD,
    PAT,
    PORTAL,
    PRODUCTION_FILE,
    ROBIN,
    TEST_FILE,
    Scene,
    Step,
    approved,
    entry,
    promoted_of,
)
from tests.support.statements import private_key, revocations, sign, statement_file
from workflow.merge.pull_request import User

APPROVER = "objectId: 3c3c3c3c-0000-4000-8000-000000000019"
OTHER_APPROVER = "objectId: 3c3c3c3c-0000-4000-8000-00000000001f"
REVOCATIONS = "approvals/revocations/americas-production.json"


def signed_again(scene: Scene) -> Scene:
    """With the approval and the entry that the attacker's configuration needs."""
    file = approved(scene.head, CONNECTION, 2)
    promoted = promoted_of(scene.head, lambda p: p.with_connection(CONNECTION, entry(scene.head, CONNECTION, 2)))
    return scene.edit({file.path: file.content, FILE: promoted})


# --- what a promotion relies on ---


def other_approver(scene: Scene) -> Scene:
    for file in (TEST_FILE, PRODUCTION_FILE):
        content = scene.head[file]
        assert isinstance(content, bytes)
        before, found, after = content.decode().partition(f"id: {CONNECTION}")
        assert APPROVER in after
        scene = scene.edit({file: (before + found + after.replace(APPROVER, OTHER_APPROVER, 1)).encode()})
    return signed_again(scene)


def one_person(scene: Scene) -> Scene:
    for file in (TEST_FILE, PRODUCTION_FILE):
        scene = scene.text(
            file, ("      name: Lakeside Health\n", "      name: Lakeside Health\n      onePerson: true\n")
        )
    return scene


def other_administrator(scene: Scene) -> Scene:
    return scene.text(PRODUCTION_FILE, ("000000000018", "00000000001e"))


def retired_key(scene: Scene) -> Scene:
    line = "        name: portal-signing\n"
    return scene.text(PRODUCTION_FILE, (line, line + '        retiredAt: "2027-01-01T00:00:00Z"\n'))


def fewer_rehearsals(scene: Scene) -> Scene:
    line = "    source: local\n"
    return scene.text(PRODUCTION_FILE, (line, line + "    rehearsal: once\n"))


def another_reviewer(scene: Scene) -> Scene:
    return scene.text(PRODUCTION_FILE, ("github: quinn", "github: mallory"))


def a_file(path: str) -> Callable[[Scene], Scene]:
    return lambda scene: scene.edit({path: b"changed\n"})


def environment(scene: Scene) -> Scene:
    return scene.text(PRODUCTION_FILE, ("config:\n", "environment:\n  - elsewhere\nconfig:\n"))


def providers_setting(scene: Scene) -> Scene:
    return scene.text(PRODUCTION_FILE, ("config:\n", "config:\n  azure-native:tenantId: elsewhere\n"))


def another_image_of_a_geography(scene: Scene) -> Scene:
    image = "      image: sha256:" + 64 * "b" + "\n"
    return scene.text(PRODUCTION_FILE, ("      publicHosts:\n", f"{image}      publicHosts:\n"))


def a_geography_paused(scene: Scene) -> Scene:
    return scene.text(PRODUCTION_FILE, ("      publicHosts:\n", "      paused: true\n      publicHosts:\n"))


def not_proposed_before(scene: Scene) -> Scene:
    """The test stack of the base revision does not know the connection."""
    text = scene.base[TEST_FILE]
    assert isinstance(text, bytes)
    start = text.index(f"        - id: {CONNECTION}".encode())
    end = text.index(b"    - organizations/", start)
    return replace(scene, base={**scene.base, TEST_FILE: text[:start] + text[end:]})


# --- what is promoted ---


def hand_edit(scene: Scene) -> Scene:
    return scene.text(PRODUCTION_FILE, ('provider: "5101"', 'provider: "6101"'))


def hand_edit_of_another(scene: Scene) -> Scene:
    return scene.text(PRODUCTION_FILE, ("rheinland-prd-approval", "rheinland-prd-other"))


def without_entry(scene: Scene) -> Scene:
    return scene.edit({FILE: scene.base[FILE]})


def rolled_back_entry(scene: Scene) -> Scene:
    """Another connection's entry with an earlier serial than the base revision's."""
    newer = approved(scene.base, "prairie-production", 2)
    scene = scene.edit({newer.path: newer.content})
    base = {**scene.base, newer.path: newer.content, FILE: serial(scene.base, "prairie-production", 2)}
    return replace(scene, base=base)


def serial(tree: dict[str, bytes | tuple[int, bytes]], connection: str, number: int) -> bytes:
    def change(promoted: Promoted) -> Promoted:
        found = promoted.of(connection)
        assert found is not None
        return promoted.with_connection(connection, found.model_copy(update={"serial": number}))

    return promoted_of(tree, change)


def entry_from_the_future(scene: Scene) -> Scene:
    return scene.edit({FILE: serial(scene.head, "prairie-production", 2**31)})


def without_another_entry(scene: Scene) -> Scene:
    def change(promoted: Promoted) -> Promoted:
        left = {k: v for k, v in promoted.connections.items() if k != "prairie-production"}
        return promoted.model_copy(update={"connections": left})

    return scene.edit({FILE: promoted_of(scene.head, change)})


def entry_of_nobody(scene: Scene) -> Scene:
    found = entry(scene.head, CONNECTION, 1)
    return scene.edit({FILE: promoted_of(scene.head, lambda p: p.with_connection("nobody", found))})


def respelled(scene: Scene) -> Scene:
    content = scene.head[FILE]
    assert isinstance(content, bytes)
    return scene.edit({FILE: json.dumps(json.loads(content), indent=2).encode()})


def unreadable_promoted(scene: Scene) -> Scene:
    return scene.edit({FILE: b"["})


# --- statements ---


def without_approval(scene: Scene) -> Scene:
    return scene.edit({NEW: None})


def moved(scene: Scene) -> Scene:
    return scene.edit({OLD: None, OLD.replace("000001", "000009"): scene.head[OLD]})


def edited(scene: Scene) -> Scene:
    other = approved(scene.base, CONNECTION, 1)
    return scene.edit({OLD: other.content})


def renamed(scene: Scene) -> Scene:
    return scene.edit({NEW: None, NEW.replace("000002", "000003"): scene.head[NEW]})


def forged(scene: Scene) -> Scene:
    content = scene.head[NEW]
    assert isinstance(content, bytes)
    body = base64.b64decode(json.loads(content)["payload"])
    return scene.edit({NEW: sign(private_key(Stage.TEST, GeographyName.EMEA, "portal-signing"), body)})


def refused_too(scene: Scene) -> Scene:
    file = approved(scene.head, CONNECTION, 2, decision="refuse")
    return scene.edit({file.path: file.content})


def older_list(scene: Scene) -> Scene:
    key = private_key(Stage.PRODUCTION, GeographyName.AMERICAS, "revocation-signing")
    newer = statement_file(key, revocations(GeographyName.AMERICAS, Stage.PRODUCTION, version=3))
    scene = replace(scene, base={**scene.base, REVOCATIONS: newer.content})
    older = statement_file(key, revocations(GeographyName.AMERICAS, Stage.PRODUCTION, version=2))
    return scene.edit({REVOCATIONS: older.content})


def no_list(scene: Scene) -> Scene:
    return scene.edit({REVOCATIONS: None})


# --- paths ---


def at(path: str, content: bytes | tuple[int, bytes] = b"x") -> Callable[[Scene], Scene]:
    return lambda scene: scene.edit({path: content})


# --- people ---


def reviewed(*reviews: tuple[User, str, bool]) -> Callable[[Scene], Scene]:
    return lambda scene: replace(scene, reviews=(*reviews, (PAT, "APPROVED", True)))


def by(author: User | None, committer: User | None = ROBIN) -> Callable[[Scene], Scene]:
    return lambda scene: scene.last(author=author, committer=committer)


REQUESTER = Account(tenant_id="1a1a1a1a-0000-4000-8000-000000000000", object_id="3c3c3c3c-0000-4000-8000-0000000000a2")
"""Robin, by the account that the configuration names."""


def proposed(
    scene: Scene,
    requester: Account = REQUESTER,
    key: tuple[Stage, str] = (Stage.TEST, "portal-signing"),
    base: str | None = None,
) -> Scene:
    """As the portal proposes it: a commit of nobody's, with a signed trailer, and a pull request by its app."""
    root = base or replace(scene, steps=(Step(scene.base),)).revisions()[0].commit
    files = {p: c for p, c in scene.head.items() if scene.base.get(p) != c}
    changes = {p: c for p, c in files.items() if isinstance(c, bytes)}
    body = payload(
        ChangeRequest(
            base=root,
            changes=changes_digest(changes),
            geography=GeographyName.AMERICAS,
            requester=requester,
            issued="2026-06-01T11:00:00Z",
        )
    )
    private = private_key(key[0], GeographyName.AMERICAS, key[1])
    message = f"Promote lakeside\n\n{trailers(body, *signature(private, body))}"
    return replace(scene.last(message=message, author=None, committer=None), opened_by=PORTAL)


def signature(private: ec.EllipticCurvePrivateKey, body: bytes) -> tuple[str, bytes]:
    spki = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return key_id_of(spki), private.sign(to_sign(body), ec.ECDSA(hashes.SHA256()))


def proposed_and_changed(scene: Scene) -> Scene:
    """The trailer of another change."""
    return replace(proposed(scene), steps=(replace(proposed(scene).steps[-1], files=hand_added(scene).head),))


def hand_added(scene: Scene) -> Scene:
    return scene.edit({"docs/note.md": b"more\n"})
