"""What may have happened to an approval, for every place that shows integration records: each by one change.

Owns the scenes: a name, whether records are shown then, and the statements below `approvals/`. Configuration stays as
the samples have it, so that files, a document and a program can be made of it alike.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from schemas.promotion.approvals import Approvals
from schemas.promotion.statement import Approval, Rehearsal, Revoked, Verdict, at
from schemas.vocabulary import Stage
from tests.support import statements
from tests.support.accepted import GEOGRAPHY, IMAGE, PORTAL, PRODUCTION, TEST, World, accepted
from tests.support.statements import private_key, statement_file


@dataclass(frozen=True)
class Scene:
    """`happens` to the approval of a connection, from everything approved and rehearsed."""

    name: str
    shown: bool
    happens: Callable[[World, str], World]

    def approvals(self, connection: str, now: datetime, image: str = IMAGE) -> Approvals:
        world = accepted()
        world = replace(world, now=now, image=image, approvals=statements.accepted(world.test, now, image))
        return self.happens(world, connection).approvals


def _none(world: World, connection: str) -> World:
    return world.without(world.path(Approval, connection))


def _approved(world: World, connection: str) -> World:
    del connection
    return world


def _refused(world: World, connection: str) -> World:
    return world.said_anew(world.path(Approval, connection), PORTAL, decision=Verdict.REFUSE, serial=2)


def _expired(world: World, connection: str) -> World:
    return world.said_anew(world.path(Approval, connection), PORTAL, expires=at(world.now - timedelta(seconds=1)))


def _edited(world: World, connection: str) -> World:
    """The approval is of the configuration as it was before an edit."""
    return world.said_anew(world.path(Approval, connection), PORTAL, sha256="b" * 64)


def _revoked(world: World, connection: str) -> World:
    entry = Revoked(connection=connection, reason="A leaked key", at=at(world.now))
    lists = [
        statement_file(
            private_key(stage, GEOGRAPHY, "revocation-signing"),
            statements.revocations(GEOGRAPHY, stage, world.now, version=2, revoked=(entry,)),
        )
        for stage in Stage
    ]
    return world.having(*lists)


def _not_rehearsed(world: World, connection: str) -> World:
    del connection
    return world.without(world.path(Rehearsal, TEST))


SCENES = (
    Scene("none", False, _none),
    Scene("approved", True, _approved),
    Scene("refused", False, _refused),
    Scene("expired", False, _expired),
    Scene("withdrawn by an edit", False, _edited),
    Scene("revoked", False, _revoked),
    Scene("approved, not rehearsed", True, _not_rehearsed),
)
CONNECTIONS = (TEST, PRODUCTION)
