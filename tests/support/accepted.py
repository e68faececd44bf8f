"""The accepted set from which attacks start, as a value: configuration of both stages, statements, what is promoted.

Owns the steps that an attacker can take from it (a statement changed and signed again, a file moved, a configuration
edited), each of which gives another set, and what is decided of a set.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric import ec

from schemas.promotion.approvals import Approvals, known_of_stack
from schemas.promotion.canonical import canonical
from schemas.promotion.decide import Decision, Decisions, decide
from schemas.promotion.envelope import StatementFile
from schemas.promotion.promoted import Promoted, PromotedConnection
from schemas.promotion.reasons import Code
from schemas.promotion.statement import PREDICATES, Approval, ConnectionReference, Predicate
from schemas.promotion.telling import reasons_of, word
from schemas.promotion.trust import TrustAnchors
from schemas.promotion_config import TrustedKey
from schemas.stack_config import EhrConnection, Organization, StackConfig
from schemas.vocabulary import GeographyName, Stage
from tests.support import statements
from tests.support.samples import load
from tests.support.statements import IMAGE, NOW, approval, digest_of, private_key, rehearsal, statement_file

ORGANIZATION = "lakeside"
TEST, PRODUCTION = "lakeside-test", "lakeside-production"
GEOGRAPHY = GeographyName.AMERICAS
ELSEWHERE = GeographyName.EMEA

Key = ec.EllipticCurvePrivateKey

PORTAL = private_key(Stage.TEST, GEOGRAPHY, "portal-signing")
WORKER = private_key(Stage.TEST, GEOGRAPHY, "worker-signing")
OPERATOR = private_key(Stage.TEST, GEOGRAPHY, "revocation-signing")
PRODUCTION_OPERATOR = private_key(Stage.PRODUCTION, GEOGRAPHY, "revocation-signing")
PORTAL_ELSEWHERE = private_key(Stage.TEST, ELSEWHERE, "portal-signing")
WORKER_ELSEWHERE = private_key(Stage.TEST, ELSEWHERE, "worker-signing")

OWN_KEY = ec.derive_private_key(20260601, ec.SECP256R1())
"""A key that an attacker made."""


@dataclass(frozen=True)
class World:
    """Everything that is decided from."""

    test: StackConfig
    production: StackConfig
    approvals: Approvals
    anchors: TrustAnchors
    now: datetime = NOW
    image: str = IMAGE
    promoted: Promoted = field(default_factory=Promoted)
    at_base: Promoted | None = None
    highest_serials: Mapping[str, int] = field(default_factory=dict[str, int])
    knows_source: bool = True
    by_files: bool = False
    """Whether lists of revocations are known from files alone; else from their channel, as the runtime knows them."""

    def decided(self, stage: Stage = Stage.PRODUCTION) -> Decisions:
        production = stage is Stage.PRODUCTION
        known = known_of_stack(
            self.production if production else self.test,
            replace(self.approvals, promoted=self.promoted if production else Promoted()),
            self.anchors,
            self.image,
            self.now,
            source=self.test if production and self.knows_source else None,
            at_base=self.at_base,
            highest_serials=self.highest_serials,
        )
        return decide(replace(known, by_files=self.by_files))

    # --- statements ---------------------------------------------------------------------------------------------

    def paths(self, of: type[Predicate], connection: str | None = None) -> list[str]:
        """Of the statements of a type, about a connection."""
        return [
            f.path
            for f in self.approvals.statements
            if isinstance(p := predicate_of(f), of) and connection in (None, getattr(p, "connection", None))
        ]

    def path(self, of: type[Predicate], connection: str) -> str:
        (only,) = self.paths(of, connection)
        return only

    def file(self, path: str) -> StatementFile:
        return next(f for f in self.approvals.statements if f.path == path)

    def without(self, path: str) -> "World":
        kept = tuple(f for f in self.approvals.statements if f.path != path)
        assert len(kept) < len(self.approvals.statements)
        return self._with(kept)

    def having(self, *files: StatementFile) -> "World":
        """With these files, in place of those at their paths."""
        paths = {f.path for f in files}
        return self._with((*(f for f in self.approvals.statements if f.path not in paths), *files))

    def also(self, file: StatementFile) -> "World":
        """With a file that another has the path of: of who reads from two places."""
        return self._with((*self.approvals.statements, file))

    def bytes_changed(self, path: str, change: Callable[[bytes], bytes]) -> "World":
        before = self.file(path).content
        assert change(before) != before
        return self.having(StatementFile(path, change(before)))

    def said_anew(
        self, path: str, by: Key, sha256: str | None = None, *, stays: bool = False, **changes: Any
    ) -> "World":
        """A statement with other content, signed again and put where it belongs; `stays` leaves it where it was."""
        before = self.file(path)
        values = predicate_of(before).model_dump()
        predicate = type(predicate_of(before)).model_validate({**values, **changes})
        file = statement_file(by, predicate, sha256 or sha256_of(before))
        return self.without(path).having(StatementFile(path, file.content) if stays else file)

    def payload_changed(self, path: str, by: Key, change: Callable[[bytes], bytes]) -> "World":
        """A statement whose payload's bytes are others, signed again."""
        body = change(payload_of(self.file(path)))
        assert body != payload_of(self.file(path))
        return self.having(StatementFile(path, statements.sign(by, body)))

    def _with(self, files: tuple[StatementFile, ...]) -> "World":
        return replace(self, approvals=replace(self.approvals, statements=files))

    # --- configuration ------------------------------------------------------------------------------------------

    def configured(self, stage: Stage | None, connection: str, **changes: Any) -> "World":
        """A connection edited in the file of one stage's stack, or of both (None)."""
        return self._edited(stage, lambda s: with_connection(s, connection, **changes))

    def organized(self, stage: Stage | None, organization: str, **changes: Any) -> "World":
        """An organisation edited in the file of one stage's stack, or of both (None)."""
        return self._edited(stage, lambda s: with_organization(s, organization, **changes))

    def trusting(self, stage: Stage | None, change: Callable[[tuple[TrustedKey, ...]], Any]) -> "World":
        """Other pins in the configuration."""

        def edited(stack: StackConfig) -> StackConfig:
            keys = change(stack.promotion.trusted_keys)
            promotion = stack.promotion.model_copy(update={"trusted_keys": tuple(keys)})
            return stack.model_copy(update={"promotion": promotion})

        return self._edited(stage, edited)

    def _edited(self, stage: Stage | None, edit: Callable[[StackConfig], StackConfig]) -> "World":
        test = self.test if stage is Stage.PRODUCTION else edit(self.test)
        production = self.production if stage is Stage.TEST else edit(self.production)
        return replace(self, test=test, production=production)

    # --- time and serving ---------------------------------------------------------------------------------------

    def later(self, **after: int) -> "World":
        """Some time later, with lists of revocations in force then."""
        now = self.now + timedelta(**after)
        lists = [
            statement_file(
                private_key(stage, geography, "revocation-signing"), statements.revocations(geography, stage, now)
            )
            for geography in self.test.geographies
            for stage in Stage
        ]
        return replace(self, now=now).having(*lists)

    def served(self, serial: int = 1, at: str | None = None) -> "World":
        """As it is once everything was promoted, in production."""
        found = statements.promoted(self.test, NOW)
        updated = {
            c: PromotedConnection(sha256=p.sha256, promoted_at=at or p.promoted_at, serial=serial)
            for c, p in found.connections.items()
        }
        return replace(self, promoted=Promoted(connections=updated))


@cache
def accepted() -> World:
    """Everything approved and rehearsed; nothing promoted yet."""
    test, production = load("Pulumi.local.yaml").stack, load("Pulumi.local-prod.yaml").stack
    assert test is not None
    assert production is not None
    # What `connector promote` leaves in the production stack's file, whatever the sample has by now.
    copied = tuple(_only(o, Stage.PRODUCTION) for o in test.organizations)
    production = production.model_copy(update={"organizations": copied})
    return World(test, production, statements.accepted(test), statements.emulated_anchors())


@cache
def two_of_one() -> World:
    """The accepted set, with a second production connection of the same organisation, approved too."""
    world = accepted()
    connection = connection_of(world.test, PRODUCTION)
    second = connection.model_copy(
        update={"id": SECOND, "fhir_base_url": connection.fhir_base_url.replace("-prd", "-north")}
    )
    organization = organization_of(world.test, ORGANIZATION)
    world = replace(
        world.organized(Stage.TEST, ORGANIZATION, connections=(*organization.connections, second)),
        production=with_organization(world.production, ORGANIZATION, connections=(connection, second)),
    )
    return world.having(approval_of(world, SECOND))


SECOND = "lakeside-north"


def approval_of(world: World, connection: str, by: Key = PORTAL, **changes: Any) -> StatementFile:
    """An approval of a connection as the test stack has it now."""
    organization, configured = _owner(world.test, connection), connection_of(world.test, connection)
    reference = None
    if configured.stage is Stage.PRODUCTION:
        test = next(c for c in organization.connections if c.stage is Stage.TEST)
        reference = ConnectionReference(id=test.id, sha256=digest_of(world.test, organization, test))
    given = approval(organization, configured, NOW, test=reference)
    given = Approval.model_validate({**given.model_dump(), **changes})
    return statement_file(by, given, digest_of(world.test, organization, configured))


def rehearsal_of(world: World, connection: str, by: Key = WORKER, **changes: Any) -> StatementFile:
    """A rehearsal of a test connection as the test stack has it now."""
    organization, configured = _owner(world.test, connection), connection_of(world.test, connection)
    made = rehearsal(organization, connection, NOW, **changes)
    return statement_file(by, made, digest_of(world.test, organization, configured))


def outcome(decision: Decision) -> tuple[str, list[Code]]:
    """`approved`, `withdrawn` or `refused`, with the codes of its warnings or reasons."""
    return word(decision), [r.code for r in reasons_of(decision)]


def others_stand(decisions: Decisions, *but: str) -> bool:
    """Whether every other connection is approved, without a warning."""
    return all(outcome(d) == ("approved", []) for c, d in decisions.items() if c not in but)


# --- values and their places ----------------------------------------------------------------------------------------


def organization_of(stack: StackConfig, organization: str) -> Organization:
    return next(o for o in stack.organizations if o.id == organization)


def connection_of(stack: StackConfig, connection: str) -> EhrConnection:
    return next(c for o in stack.organizations for c in o.connections if c.id == connection)


def _owner(stack: StackConfig, connection: str) -> Organization:
    return next(o for o in stack.organizations if any(c.id == connection for c in o.connections))


def with_organization(stack: StackConfig, organization: str, **changes: Any) -> StackConfig:
    changed = (o.model_copy(update=changes) if o.id == organization else o for o in stack.organizations)
    return stack.model_copy(update={"organizations": tuple(changed)})


def with_connection(stack: StackConfig, connection: str, **changes: Any) -> StackConfig:
    """A stack in whose file a connection was edited; one that has no such connection stays as it is."""

    def edited(organization: Organization) -> Organization:
        found = (c.model_copy(update=changes) if c.id == connection else c for c in organization.connections)
        return organization.model_copy(update={"connections": tuple(found)})

    return stack.model_copy(update={"organizations": tuple(map(edited, stack.organizations))})


def payload_of(file: StatementFile) -> bytes:
    return base64.b64decode(json.loads(file.content)["payload"])


def sha256_of(file: StatementFile) -> str:
    return json.loads(payload_of(file))["subject"][0]["digest"]["sha256"]


def predicate_of(file: StatementFile) -> Predicate:
    """What a statement says, without looking at who signed it."""
    said = json.loads(payload_of(file))
    return PREDICATES[said["predicateType"]][1].model_validate(said["predicate"])


def envelope_with(of: bytes, **changes: Any) -> bytes:
    """An envelope with other fields, nothing signed again."""
    return canonical({**cast("dict[str, Any]", json.loads(of)), **changes})


def _only(organization: Organization, stage: Stage) -> Organization:
    return organization.model_copy(
        update={"connections": tuple(c for c in organization.connections if c.stage is stage)}
    )
