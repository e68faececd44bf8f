"""The decision: whether a connection may be served, from values alone.

    Decision       of one connection: its digest, and the approval that it rests on, where there is one
      Approved     it is served; `warnings` say what will stop it, or what was waived
      Withdrawn    it was served unchanged until now and takes no launches any more; nobody else is stopped
      Refused      it is not served; in production it stops the update

Owns the rules, each with one reason (`reasons.py`). Everybody decides by this one function: `connector check
--promotion`, the Pulumi program before its first resource, the policy pack from what is emitted, and the runtime at
start and each minute. They differ in what they know: only who has the test stack's configuration (`proposals`) can
compare a production connection with it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from schemas.promotion.digest import connection_digest
from schemas.promotion.envelope import Rejected, StatementFile, Verified, verify_all
from schemas.promotion.promoted import Promoted, PromotedConnection
from schemas.promotion.reasons import Code, Reason
from schemas.promotion.revocation import Held
from schemas.promotion.statement import Approval, BreakGlass, Rehearsal, Verdict, moment
from schemas.promotion.trust import Trust
from schemas.stack_config import EhrConnection, Organization, PublicHosts
from schemas.vocabulary import GeographyName, RehearsalPolicy, Stage

WARN_BEFORE = timedelta(days=30)

WAIVABLE = frozenset(
    {
        Code.APPROVAL_MISSING,
        Code.APPROVAL_URL,
        Code.CONFIGURATION_CHANGED,
        Code.APPROVAL_EXPIRED,
        Code.TEST_CONNECTION_CHANGED,
        Code.TEST_CONNECTION_DIFFERS,
        Code.NOT_PROPOSED,
        Code.COPY_DIFFERS,
        Code.ORGANIZATION_INCOMPLETE,
        Code.REHEARSAL_MISSING,
        Code.REHEARSAL_DIGEST,
        Code.REHEARSAL_IMAGE,
        Code.REHEARSAL_EXPIRED,
    }
)
"""What a break-glass statement may name: never a refusal, a revocation, a signature or a key."""

_OF_THE_IMAGE = frozenset({Code.REHEARSAL_MISSING, Code.REHEARSAL_IMAGE, Code.REHEARSAL_DIGEST, Code.REHEARSAL_EXPIRED})
"""Reasons that a new image brings to connections served unchanged: the update stops, not the visits."""


@dataclass(frozen=True)
class Decision:
    organization: str
    connection: str
    sha256: str
    approval: Approval | None


@dataclass(frozen=True)
class Approved(Decision):
    warnings: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Withdrawn(Decision):
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Refused(Decision):
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Known:
    """Everything that a decision rests on. `organizations` have the connections of this stage only.

    `proposals` are the test stack's organisations with their connections of both stages, and `test_hosts` its public
    hosts by geography; None where they are not known (in the runtime and the policy pack of production). `revocations`
    are the lists held, by geography; `highest_serials` what was seen before, by connection; `at_base` what was promoted
    at the base revision of a pull request.
    """

    stage: Stage
    organizations: Sequence[Organization]
    hosts: Mapping[GeographyName, PublicHosts]
    statements: Sequence[StatementFile]
    trust: Trust
    image: str
    now: datetime
    rehearsal: RehearsalPolicy = RehearsalPolicy.EACH_IMAGE
    revocations: Mapping[GeographyName, Held] = field(default_factory=dict[GeographyName, Held])
    highest_serials: Mapping[str, int] = field(default_factory=dict[str, int])
    promoted: Promoted = field(default_factory=Promoted)
    at_base: Promoted | None = None
    proposals: Sequence[Organization] | None = None


Decisions = dict[str, Decision]
"""By connection id."""


def decide(known: Known) -> Decisions:
    """A decision for every connection."""
    return _Deciding(known).all()


def stops(decisions: Mapping[str, Decision], stage: Stage) -> tuple[Refused, ...]:
    """The decisions that stop an update: in production, every refusal."""
    if stage is not Stage.PRODUCTION:
        return ()
    return tuple(d for d in decisions.values() if isinstance(d, Refused))


def image_digest_of(image: str) -> str:
    """`sha256:...` of an image by digest."""
    return image.rpartition("@")[2]


class _Deciding:
    def __init__(self, known: Known) -> None:
        self.known = known
        verified, rejected = verify_all(known.statements, known.trust)
        self.approvals: dict[str, list[Verified]] = defaultdict(list)
        self.rehearsals: dict[str, list[Verified]] = defaultdict(list)
        self.glasses: dict[str, list[Verified]] = defaultdict(list)
        for statement in verified:
            match statement.predicate:
                case Approval(connection=connection):
                    self.approvals[connection].append(statement)
                case Rehearsal(connection=connection):
                    self.rehearsals[connection].append(statement)
                case BreakGlass(connection=connection):
                    self.glasses[connection].append(statement)
                case _:
                    pass
        self.rejected: dict[str, list[Rejected]] = defaultdict(list)
        for rejection in rejected:
            parts = rejection.path.split("/")
            if len(parts) == 4:
                self.rejected[parts[2]].append(rejection)
        self.proposed = {
            c.id: (o, c) for o in known.proposals or () for c in o.connections if known.proposals is not None
        }

    def all(self) -> Decisions:
        decided: Decisions = {}
        incomplete: dict[str, list[str]] = defaultdict(list)
        for organization in self.known.organizations:
            for connection in organization.connections:
                decision = self.one(organization, connection)
                decided[connection.id] = decision
                if not isinstance(decision, Approved):
                    incomplete[organization.id].append(connection.id)
        if self.known.stage is Stage.PRODUCTION:
            self._hold_back(decided, incomplete)
        return decided

    def _hold_back(self, decided: Decisions, incomplete: Mapping[str, list[str]]) -> None:
        """An organisation is promoted when every URL of it is approved; what is served unchanged goes on."""
        for decision in list(decided.values()):
            others = [c for c in incomplete.get(decision.organization, []) if c != decision.connection]
            unapproved = others or self._unapproved_proposals(decision.organization, decided)
            if isinstance(decision, Approved) and unapproved and not self._unchanged(decision):
                expected = f"every connection of {decision.organization} approved"
                reason = Reason(Code.ORGANIZATION_INCOMPLETE, expected, f"{', '.join(sorted(unapproved))} not approved")
                decided[decision.connection] = self._concluded(decision, [reason], decision.warnings)

    def _unapproved_proposals(self, organization: str, decided: Decisions) -> list[str]:
        """Of the test stack's connections, in both stages, those without a standing approval."""
        found: list[str] = []
        for connection, (owner, proposed) in self.proposed.items():
            if owner.id == organization and connection not in decided and not self._stands(owner, proposed):
                found.append(connection)
        return found

    def _stands(self, organization: Organization, connection: EhrConnection) -> bool:
        sha256 = self._digest(organization, connection)
        chosen = self._chosen(connection.id)
        return (
            isinstance(chosen, Verified)
            and isinstance(chosen.predicate, Approval)
            and chosen.sha256 == sha256
            and chosen.predicate.decision is Verdict.APPROVE
            and chosen.predicate.begun(self.known.now)
            and not chosen.predicate.ended(self.known.now)
        )

    # --- one connection -----------------------------------------------------------------------------------------

    def one(self, organization: Organization, connection: EhrConnection) -> Decision:
        sha256 = self._digest(organization, connection)
        chosen = self._chosen(connection.id)
        approval = chosen.predicate if isinstance(chosen, Verified) else None
        assert approval is None or isinstance(approval, Approval)
        decision = Decision(organization.id, connection.id, sha256, approval)
        unchanged = self._unchanged(decision)
        warnings: list[Reason] = []
        reasons = [r.reason for r in self._rejections(connection.id, approval, warnings, unchanged=unchanged)]
        if approval is None:
            if not isinstance(chosen, Verified) and chosen is not None and not reasons:
                reasons.append(chosen)
        else:
            assert isinstance(chosen, Verified)
            about = self._about(organization, connection, chosen, approval)
            reasons += [about] if about else self._of_approval(organization, connection, approval, decision, warnings)
        reasons += self._of_revocations(organization, decision, warnings, unchanged=unchanged)
        return self._concluded(decision, reasons, tuple(warnings))

    def _digest(self, organization: Organization, connection: EhrConnection) -> str:
        host = self.known.hosts[organization.geography].of(connection.stage)
        return connection_digest(organization, connection, host)

    def _unchanged(self, decision: Decision) -> bool:
        """Served until now with this very configuration."""
        promoted = self.known.promoted.of(decision.connection)
        return promoted is not None and promoted.sha256 == decision.sha256

    def _chosen(self, connection: str) -> Verified | Reason | None:
        """The approval with the highest serial; at one serial a refusal wins."""
        approvals = self.approvals.get(connection)
        if not approvals:
            return Reason(Code.APPROVAL_MISSING, f"an approval of {connection}", "none")
        highest = max(_serial(a) for a in approvals)
        of_highest = [a for a in approvals if _serial(a) == highest]
        refusals = [a for a in of_highest if _verdict(a) is Verdict.REFUSE]
        if refusals:
            return refusals[0]
        if len(of_highest) > 1:
            return Reason(Code.SERIAL_REPEATED, "one approval a serial", f"two of serial {highest}")
        return of_highest[0]

    def _rejections(
        self, connection: str, approval: Approval | None, warnings: list[Reason], *, unchanged: bool
    ) -> list[Rejected]:
        """Files that do not count refuse a new connection: nobody should have put them there."""
        rejected = self.rejected.get(connection, [])
        if approval is not None and unchanged:
            warnings += [r.reason for r in rejected]
            return []
        return rejected

    def _about(
        self, organization: Organization, connection: EhrConnection, chosen: Verified, approval: Approval
    ) -> Reason | None:
        """The first thing in which the approval is about something else."""
        pairs = (
            (Code.APPROVAL_ORGANIZATION, "organisation", approval.organization, organization.id),
            (Code.APPROVAL_TENANT, "tenant", approval.tenant_id, organization.tenant_id),
            (Code.APPROVAL_GEOGRAPHY, "geography", approval.geography, organization.geography),
            (Code.APPROVAL_STAGE, "stage", approval.stage, connection.stage),
            (Code.APPROVAL_URL, "FHIR base URL", approval.fhir_base_url, connection.fhir_base_url),
        )
        for code, what, approved, configured in pairs:
            if approved != configured:
                return Reason(code, f"an approval of the {what} {configured}", f"one of {approved}", chosen.path)
        sha256 = self._digest(organization, connection)
        if chosen.sha256 != sha256:
            expected = f"the configuration that was approved ({chosen.sha256[:12]})"
            return Reason(Code.CONFIGURATION_CHANGED, expected, f"another one ({sha256[:12]})", chosen.path)
        return None

    def _of_approval(
        self,
        organization: Organization,
        connection: EhrConnection,
        approval: Approval,
        decision: Decision,
        warnings: list[Reason],
    ) -> list[Reason]:
        found = [*_of_people(organization, connection, approval)]
        if approval.decision is Verdict.REFUSE:
            found.append(Reason(Code.APPROVAL_REFUSED, "an approval", f"a refusal (serial {approval.serial})"))
        found += self._of_serial(decision, approval)
        found += self._of_time(decision, approval, warnings)
        if connection.stage is Stage.PRODUCTION:
            found += self._of_test(connection, approval)
            found += self._of_copy(organization, connection)
            found += self._of_rehearsal(organization, approval)
        return found

    def _of_serial(self, decision: Decision, approval: Approval) -> Iterator[Reason]:
        promoted = self.known.promoted.of(decision.connection)
        seen = max(promoted.serial if promoted else 0, self.known.highest_serials.get(decision.connection, 0))
        if approval.serial < seen:
            yield Reason(Code.SERIAL_ROLLED_BACK, f"serial {seen} or higher", f"serial {approval.serial}")
        before = self.known.at_base.of(decision.connection) if self.known.at_base else None
        if before is not None and (promoted is None or promoted.serial < before.serial):
            got = f"serial {promoted.serial}" if promoted else "no entry"
            yield Reason(Code.PROMOTED_ROLLED_BACK, f"promoted.json with serial {before.serial} or higher", got)

    def _of_time(self, decision: Decision, approval: Approval, warnings: list[Reason]) -> Iterator[Reason]:
        now = self.known.now
        if not approval.begun(now):
            yield Reason(Code.APPROVAL_NOT_YET_VALID, "an approval from before now", f"one of {approval.issued}")
        elif approval.ended(now):
            expired = Reason(Code.APPROVAL_EXPIRED, "an approval in force", f"one that expired {approval.expires}")
            promoted = self.known.promoted.of(decision.connection)
            if promoted is not None and _promoted_by(promoted, approval, decision.sha256):
                warnings.append(expired)
            else:
                yield expired
        elif moment(approval.expires) - now <= WARN_BEFORE:
            got = f"one that expires {approval.expires}"
            warnings.append(Reason(Code.EXPIRES_SOON, "an approval for 30 days or more", got))

    # --- production ---------------------------------------------------------------------------------------------

    def _of_test(self, connection: EhrConnection, approval: Approval) -> Iterator[Reason]:
        """The test connection that stands for it, as it was when the approver decided."""
        reference = approval.test_connection
        if reference is None:
            yield Reason(Code.TEST_CONNECTION_MISSING, "an approval that names its test connection", "one without")
            return
        if self.known.proposals is None:
            return
        owner, test = self.proposed.get(reference.id, (None, None))
        if owner is None or test is None or test.stage is not Stage.TEST:
            got = f"no test connection {reference.id} there"
            yield Reason(Code.TEST_CONNECTION_MISSING, f"{reference.id} in the test stack", got)
        elif self._digest(owner, test) != reference.sha256:
            expected = f"{reference.id} as it was approved with ({reference.sha256[:12]})"
            yield Reason(Code.TEST_CONNECTION_CHANGED, expected, "another configuration of it")
        elif differing := differences(test, connection):
            expected = f"{connection.id} and {reference.id} to differ in what each stage has of its own only"
            yield Reason(Code.TEST_CONNECTION_DIFFERS, expected, f"a difference in {', '.join(differing)}")

    def _of_copy(self, organization: Organization, connection: EhrConnection) -> Iterator[Reason]:
        """Production holds the promoted copy, equal field by field."""
        if self.known.proposals is None:
            return
        owner, proposed = self.proposed.get(connection.id, (None, None))
        if owner is None or proposed is None or proposed.stage is not Stage.PRODUCTION:
            yield Reason(Code.NOT_PROPOSED, f"{connection.id} proposed in the test stack", "no such connection there")
        elif self._digest(owner, proposed) != self._digest(organization, connection):
            yield Reason(Code.COPY_DIFFERS, f"{connection.id} as the test stack proposes it", "another configuration")

    def _of_rehearsal(self, organization: Organization, approval: Approval) -> Iterator[Reason]:
        reference = approval.test_connection
        if reference is None:
            return
        image = image_digest_of(self.known.image)
        missing = Reason(Code.REHEARSAL_MISSING, f"a rehearsal of {reference.id}", "none")
        reasons: list[Reason] = []
        for found in sorted(self.rehearsals.get(reference.id, []), key=_issued, reverse=True):
            rehearsal = found.predicate
            assert isinstance(rehearsal, Rehearsal)
            reason = self._rehearsed(organization, reference.sha256, image, found, rehearsal)
            if reason is None:
                return
            reasons.append(reason)
        reasons += [r.reason for r in self.rejected.get(reference.id, []) if "/rehearsal-" in r.path]
        yield reasons[0] if reasons else missing

    def _rehearsed(
        self, organization: Organization, sha256: str, image: str, found: Verified, rehearsal: Rehearsal
    ) -> Reason | None:
        if rehearsal.organization != organization.id or rehearsal.geography != organization.geography:
            expected = f"a rehearsal of {organization.id}"
            return Reason(Code.REHEARSAL_ORGANIZATION, expected, f"one of {rehearsal.organization}", found.path)
        if found.sha256 != sha256:
            expected = f"a rehearsal of the configuration that was approved ({sha256[:12]})"
            return Reason(Code.REHEARSAL_DIGEST, expected, f"one of another ({found.sha256[:12]})", found.path)
        if self.known.rehearsal is RehearsalPolicy.EACH_IMAGE and rehearsal.image != image:
            expected = f"a rehearsal with the image {image[:19]}"
            return Reason(Code.REHEARSAL_IMAGE, expected, f"one with {rehearsal.image[:19]}", found.path)
        if not rehearsal.begun(self.known.now) or rehearsal.ended(self.known.now):
            got = f"one from {rehearsal.issued} to {rehearsal.expires}"
            return Reason(Code.REHEARSAL_EXPIRED, "a rehearsal in force", got, found.path)
        return None

    # --- revocations, emergencies, conclusion -------------------------------------------------------------------

    def _of_revocations(
        self, organization: Organization, decision: Decision, warnings: list[Reason], *, unchanged: bool
    ) -> Iterator[Reason]:
        held = self.known.revocations.get(organization.geography)
        if held is None:
            expected = f"a list of revocations of {organization.geography}, {self.known.stage}"
            yield Reason(Code.REVOCATIONS_NEVER_HELD, expected, "none, ever")
            return
        entry = held.revoked(decision.connection, decision.sha256)
        if entry is not None:
            yield Reason(Code.REVOKED, "no revocation", f"one of {entry.at}: {entry.reason}")
        if held.is_stale(self.known.now):
            expires = held.revocations.expires
            stale = Reason(Code.REVOCATIONS_STALE, "a list of revocations in force", f"one that expired {expires}")
            if unchanged or self.known.stage is Stage.TEST:
                warnings.append(stale)
            else:
                yield stale

    def _concluded(self, decision: Decision, reasons: list[Reason], warnings: tuple[Reason, ...]) -> Decision:
        reasons, waived = self._without_waived(decision, reasons)
        names = (decision.organization, decision.connection, decision.sha256, decision.approval)
        if not reasons:
            return Approved(*names, (*warnings, *waived))
        stays = self._unchanged(decision) and not any(r.code in _OF_THE_IMAGE for r in reasons)
        return (Withdrawn if stays else Refused)(*names, tuple(dict.fromkeys(reasons)))

    def _without_waived(self, decision: Decision, reasons: list[Reason]) -> tuple[list[Reason], list[Reason]]:
        """Without what a break-glass statement in force waives, and the warnings that stand for it."""
        if not reasons:
            return reasons, []
        glass = next((g for g in self.glasses.get(decision.connection, []) if self._breaks(g, decision)), None)
        if glass is None or not isinstance(glass.predicate, BreakGlass):
            return reasons, []
        waives = frozenset(glass.predicate.waives)
        waived = [r for r in reasons if r.code in WAIVABLE and r.code in waives]
        if not waived:
            return reasons, []
        until, why = glass.predicate.expires, glass.predicate.reason
        loud = Reason(Code.BREAK_GLASS, "no emergency", f"the glass broken until {until}: {why}", glass.path)
        return [r for r in reasons if r not in waived], [loud, *waived]

    def _breaks(self, glass: Verified, decision: Decision) -> bool:
        predicate = glass.predicate
        assert isinstance(predicate, BreakGlass)
        return (
            predicate.organization == decision.organization
            and predicate.stage is self.known.stage
            and glass.sha256 == decision.sha256
            and predicate.begun(self.known.now)
            and not predicate.ended(self.known.now)
        )


def _of_people(organization: Organization, connection: EhrConnection, approval: Approval) -> Iterator[Reason]:
    named = connection.approver
    if (approval.approver.tenant_id, approval.approver.object_id) != (named.tenant_id, named.object_id):
        expected = f"an approval by the account {named.object_id} of {named.tenant_id}"
        got = f"one by {approval.approver.object_id} of {approval.approver.tenant_id}"
        yield Reason(Code.APPROVER_DIFFERS, expected, got)
    same = is_one_person(organization, connection)
    if approval.same_person != same:
        expected = "a statement that the approver is an administrator too" if same else "one by two persons"
        yield Reason(Code.SAME_PERSON_DIFFERS, expected, "the contrary")
    elif same and not organization.one_person:
        yield Reason(Code.ONE_PERSON, "an approver who is no administrator", "one person for both")


def is_one_person(organization: Organization, connection: EhrConnection) -> bool:
    """Whether the approver is an administrator of the organisation."""
    named = (connection.approver.tenant_id, connection.approver.object_id)
    return named in {(a.tenant_id, a.object_id) for a in organization.administrators}


def differences(test: EhrConnection, production: EhrConnection) -> list[str]:
    """In what two connections differ beyond URL, client ids, credential references, records and origins.

    By the names of the JSON Schema, joined by dots.
    """
    return sorted(_differing(_comparable(test), _comparable(production), ""))


_OF_THE_STAGE = frozenset(
    {"id", "stage", "fhirBaseUrl", "integrationRecordIds", "frameOrigins", "tokenEndpointOrigins", "sharedWith"}
)
_OF_THE_CLIENT = frozenset({"clientId", "issuer"})
_OF_THE_CREDENTIAL = frozenset({"key", "secret"})


def _comparable(connection: EhrConnection) -> Mapping[str, object]:
    values = connection.model_dump(mode="json", by_alias=True, exclude_none=True)
    clients = {
        role: {
            name: {k: v for k, v in value.items() if k not in _OF_THE_CREDENTIAL} if name == "authentication" else value
            for name, value in client.items()
            if name not in _OF_THE_CLIENT
        }
        for role, client in values["clients"].items()
    }
    return {k: v for k, v in values.items() if k not in _OF_THE_STAGE} | {"clients": clients}


def _differing(a: object, b: object, path: str) -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in {*a, *b}:  # pyright: ignore[reportUnknownVariableType] # JSON
            yield from _differing(a.get(key), b.get(key), f"{path}.{key}" if path else str(key))  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    elif a != b:
        yield path


def _promoted_by(promoted: PromotedConnection, approval: Approval, sha256: str) -> bool:
    """Whether it was promoted, as it is now, while this approval was in force."""
    return (
        promoted.sha256 == sha256
        and promoted.serial == approval.serial
        and approval.issued <= promoted.promoted_at < approval.expires
    )


def _serial(statement: Verified) -> int:
    assert isinstance(statement.predicate, Approval)
    return statement.predicate.serial


def _verdict(statement: Verified) -> Verdict:
    assert isinstance(statement.predicate, Approval)
    return statement.predicate.decision


def _issued(statement: Verified) -> str:
    return statement.predicate.issued
