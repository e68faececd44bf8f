"""Steps of attackers, each from the accepted set to another: the rows of the tests on attacks are made of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from schemas.promotion.envelope import StatementFile
from schemas.promotion.promoted import Promoted, PromotedConnection
from schemas.promotion.reasons import Code
from schemas.promotion.statement import Approval, Rehearsal, Revoked, at
from schemas.promotion.trust import TrustAnchors, key_id_of
from schemas.promotion_config import TrustedKey
from schemas.vocabulary import Stage, StatementType
from tests.support.accepted import (
    GEOGRAPHY,
    ORGANIZATION,
    OWN_KEY,
    PORTAL,
    PRODUCTION,
    PRODUCTION_OPERATOR,
    TEST,
    WORKER,
    Key,
    World,
    accepted,
    approval_of,
    connection_of,
    organization_of,
    payload_of,
    predicate_of,
    rehearsal_of,
)
from tests.support.statements import NOW, digest_of, public_key_of, revocations, sign, statement_file

A = accepted()
APPROVAL, REHEARSAL = A.path(Approval, PRODUCTION), A.path(Rehearsal, TEST)
LIST = f"approvals/revocations/{GEOGRAPHY}-production.json"
PRAIRIE_APPROVAL = A.path(Approval, "prairie-production")
URL = connection_of(A.production, PRODUCTION).fhir_base_url
OTHER_ID = "9f9f9f9f-0000-4000-8000-000000000001"
PORTALS_ID = key_id_of(public_key_of(PORTAL))

Attack = Callable[[], World]
Row = tuple[str, Attack, list[Code]]


def approval(by: Key = PORTAL, sha256: str | None = None, **changes: Any) -> Attack:
    """The approval says something else, signed again, in the place of what it says."""
    return lambda: A.said_anew(APPROVAL, by, sha256, **changes)


def rehearsal(by: Key = WORKER, sha256: str | None = None, **changes: Any) -> Attack:
    return lambda: A.said_anew(REHEARSAL, by, sha256, **changes)


def payload(old: bytes, new: bytes) -> Attack:
    """The approval's bytes are others, signed again by the portal."""
    return lambda: A.payload_changed(APPROVAL, PORTAL, lambda b: b.replace(old, new, 1))


def edited(**changes: Any) -> Attack:
    """The connection is edited in the production stack's file alone."""
    return lambda: A.configured(Stage.PRODUCTION, PRODUCTION, **changes)


def listed(by: Key = PRODUCTION_OPERATOR, **changes: Any) -> Attack:
    """Another list of revocations, signed."""
    return lambda: A.having(statement_file(by, revocations(GEOGRAPHY, Stage.PRODUCTION, NOW, **changes)))


def copied(source: str, target: str) -> Attack:
    """A file copied to another path, over what stands there."""
    return lambda: A.having(StatementFile(target, A.file(source).content))


REVOKED = Revoked(connection=PRODUCTION, reason="Lost laptop", at=at(NOW))


def with_host(world: World, host: str) -> Any:
    geography = world.production.geographies[GEOGRAPHY]
    hosts = geography.public_hosts.model_copy(update={"production": host})
    changed = {**world.production.geographies, GEOGRAPHY: geography.model_copy(update={"public_hosts": hosts})}
    # prairie is at home there too, and its approvals are of the same host: only one organisation is looked at
    alone = tuple(o for o in world.production.organizations if o.id != "prairie")
    return world.production.model_copy(update={"geographies": changed, "organizations": alone})


def again(world: World) -> World:
    """Approved and rehearsed as it is now."""
    return world.having(approval_of(world, TEST), rehearsal_of(world, TEST), approval_of(world, PRODUCTION))


def with_pin(change: Callable[[TrustedKey], TrustedKey | None], of: str = "portal-signing") -> Attack:
    """The production stack's pins of the geography changed; None takes one away."""

    def changed(keys: tuple[TrustedKey, ...]) -> list[TrustedKey]:
        found = [change(k) if k.geography is GEOGRAPHY and k.name == of else k for k in keys]
        return [k for k in found if k is not None]

    def world() -> World:
        # prairie has the same portal: only one organisation is looked at
        alone = A.production.model_copy(
            update={"organizations": tuple(o for o in A.production.organizations if o.id != "prairie")}
        )
        return replace(A, production=alone).trusting(Stage.PRODUCTION, changed)

    return world


def own_pin(types: tuple[StatementType, ...]) -> TrustedKey:
    """An attacker's key, pinned by whoever can change the configuration."""
    key_id = key_id_of(public_key_of(OWN_KEY))
    return TrustedKey(key_id=key_id, name="own", version="0" * 32, geography=GEOGRAPHY, statement_types=types)


def injected() -> World:
    pinned = A.trusting(Stage.PRODUCTION, lambda keys: (*keys, own_pin((StatementType.APPROVAL,))))
    return pinned.said_anew(APPROVAL, OWN_KEY)


def without_anchor(world: World) -> World:
    kept = tuple(a for a in world.anchors.keys if a.key_id != PORTALS_ID)
    alone = with_pin(lambda k: k)()
    return replace(alone, anchors=TrustAnchors(version=1, keys=kept))


def tampered(file: StatementFile) -> StatementFile:
    said = predicate_of(file)
    other = sign(OWN_KEY, payload_of(file), PORTALS_ID)
    assert said == predicate_of(StatementFile(file.path, other))
    return StatementFile(file.path, other)


def alone() -> World:
    """With no other organisation in production."""
    return replace(
        A, production=A.production.model_copy(update={"organizations": (organization_of(A.production, ORGANIZATION),)})
    )


def one_geography(attack: Attack) -> Attack:
    """Lists of revocations are a geography's: the other organisation at home there is taken away."""

    def world() -> World:
        found = attack()
        kept = tuple(o for o in found.production.organizations if o.id != "prairie")
        return replace(found, production=found.production.model_copy(update={"organizations": kept}))

    return world


def entry(**changes: Any) -> PromotedConnection:
    values = A.served().promoted.connections[PRODUCTION].model_dump()
    return PromotedConnection.model_validate({**values, **changes})


def requested(before: World, after: PromotedConnection | None) -> World:
    """A pull request in which the connection's entry of promoted.json is another."""
    others = {c: p for c, p in before.promoted.connections.items() if c != PRODUCTION}
    changed = Promoted(connections=others if after is None else {**others, PRODUCTION: after})
    return replace(before, at_base=before.promoted, promoted=changed)


def renewed() -> World:
    """Approved again, with serial 2, and promoted so."""
    again = A.having(approval_of(A, PRODUCTION, serial=2)).served()
    return replace(again, promoted=again.promoted.with_connection(PRODUCTION, entry(serial=2)))


def edited_digest() -> str:
    world = A.configured(Stage.PRODUCTION, PRODUCTION, frame_origins=("https://evil.example",))
    return digest_of(
        world.production, organization_of(world.production, ORGANIZATION), connection_of(world.production, PRODUCTION)
    )


def rows(attacks: list[Row]) -> list[Any]:
    """Parameters of a test: each attack counts for the rules whose reason it expects."""
    return [pytest.param(attack, codes, id=name, marks=pytest.mark.rule(*codes)) for name, attack, codes in attacks]
