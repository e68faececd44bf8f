"""The decision: whether a connection may be served, from values alone.

Owns the rules, each with one reason (`reasons.py`). Everybody decides by this one function: `connector check
--promotion`, the Pulumi program before its first resource, the policy pack from what is emitted, and the runtime at
start and each minute. They differ in what they know (`decision.py`): only who has the test stack's configuration can
compare a production connection with it.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from schemas.promotion.break_glass import WAIVABLE, Glass
from schemas.promotion.decision import (
    Approved,
    Decision,
    Decisions,
    Known,
    Refused,
    Withdrawn,
    image_digest_of,
    stops,
)
from schemas.promotion.digest import connection_digest
from schemas.promotion.ledger import Filed, Ledger
from schemas.promotion.likeness import differences, is_one_person
from schemas.promotion.production import Proposal, of_copy, of_rehearsal, of_test
from schemas.promotion.promoted import PromotedConnection
from schemas.promotion.reasons import Code, Reason
from schemas.promotion.statement import Approval, Verdict, at, moment
from schemas.stack_config import EhrConnection, Organization
from schemas.vocabulary import Stage

__all__ = [
    "WAIVABLE",
    "WARN_BEFORE",
    "Approved",
    "Decision",
    "Decisions",
    "Known",
    "Refused",
    "Withdrawn",
    "decide",
    "differences",
    "image_digest_of",
    "is_one_person",
    "stops",
]

WARN_BEFORE = timedelta(days=30)

_OF_THE_IMAGE = frozenset({Code.REHEARSAL_MISSING, Code.REHEARSAL_IMAGE, Code.REHEARSAL_DIGEST})
"""Reasons that a new image brings to connections served unchanged: the update stops, not the visits."""

_OF_THE_REQUEST = frozenset({Code.PROMOTED_ROLLED_BACK, Code.PROMOTED_DIFFERS})
"""Of a pull request: it is refused, whatever is served."""

_OF_THE_PROPOSAL = frozenset(
    {
        Code.TEST_CONNECTION_MISSING,
        Code.TEST_CONNECTION_CHANGED,
        Code.TEST_CONNECTION_DIFFERS,
        Code.NOT_PROPOSED,
        Code.COPY_DIFFERS,
        Code.REHEARSAL_EXPIRED,
    }
)
"""What was right when a connection was promoted: the next edit in the test stack, or time, takes nothing from it."""


def decide(known: Known) -> Decisions:
    """A decision for every connection."""
    return _Deciding(known).all()


class _Deciding:
    def __init__(self, known: Known) -> None:
        self.known = known
        self.ledger = Ledger(known.statements, known.trust)
        self.digests: dict[int, str] = {}
        proposed = [o for o in known.proposals or () if o.geography in known.hosts]  # others have no host here yet
        self.proposals = {c.id: Proposal(o, c, self._digest(o, c)) for o in proposed for c in o.connections}

    def all(self) -> Decisions:
        decided: Decisions = {}
        for organization in self.known.organizations:
            own = {c.id: self._one(organization, c) for c in organization.connections}
            if self.known.stage is Stage.PRODUCTION:
                own = self._whole(organization, own)
            decided |= own
        return decided

    def _whole(self, organization: Organization, own: Decisions) -> Decisions:
        """An organisation is promoted when every URL of it is approved; what is served unchanged goes on."""
        if all(self._unchanged(d) or not isinstance(d, Approved) for d in own.values()):
            return own
        lacking = [c for c, d in own.items() if not isinstance(d, Approved)]
        lacking += [
            c
            for c, p in self.proposals.items()
            if p.organization.id == organization.id and c not in own and not self._stands(p)
        ]
        if lacking:
            expected = f"every connection of {organization.id} approved"
            got = f"{', '.join(sorted(lacking))} not approved"
            reason = Reason(Code.ORGANIZATION_INCOMPLETE, expected, got)
            own = {
                c: self._concluded(organization, d, [reason], d.warnings)
                if isinstance(d, Approved) and not self._unchanged(d)
                else d
                for c, d in own.items()
            }
        return own

    def _stands(self, proposal: Proposal) -> bool:
        """Whether a connection of the test stack has an approval in force."""
        filed = self.ledger.approval(proposal.organization, proposal.connection.id)
        if not isinstance(filed, Filed):
            return False
        decision = Decision(proposal.organization.id, proposal.connection.id, proposal.sha256, filed.predicate)
        about = _about(proposal.organization, proposal.connection, proposal.sha256, filed)
        return about is None and not [*self._of_approval(proposal.organization, proposal.connection, decision, [])]

    # --- one connection -----------------------------------------------------------------------------------------

    def _one(self, organization: Organization, connection: EhrConnection) -> Decision:
        sha256 = self._digest(organization, connection)
        filed = self.ledger.approval(organization, connection.id)
        approval = filed.predicate if isinstance(filed, Filed) else None
        decision = Decision(organization.id, connection.id, sha256, approval)
        warnings: list[Reason] = []
        reasons = self._of_rejected(decision, warnings)
        if isinstance(filed, Reason):
            reasons.append(filed)
        elif filed is None and not reasons:
            reasons.append(Reason(Code.APPROVAL_MISSING, f"an approval of {connection.id}", "none"))
        elif filed is not None:
            about = _about(organization, connection, sha256, filed)
            reasons += [about] if about else []
            if about is None or self._glass(organization, decision).waives(about.code):
                reasons += self._of_approval(organization, connection, decision, warnings)
                reasons += self._of_production(organization, connection, decision, warnings)
        reasons += self._of_promoted(decision)
        reasons += self._of_revocations(organization, decision, warnings)
        return self._concluded(organization, decision, reasons, tuple(warnings))

    def _digest(self, organization: Organization, connection: EhrConnection) -> str:
        known = self.digests.get(id(connection))
        if known is None:
            host = self.known.hosts[organization.geography].of(connection.stage)
            known = self.digests[id(connection)] = connection_digest(organization, connection, host)
        return known

    def _unchanged(self, decision: Decision) -> bool:
        """Served until now with this very configuration."""
        served = self.known.served.of(decision.connection)
        return served is not None and served.sha256 == decision.sha256

    def _glass(self, organization: Organization, decision: Decision) -> Glass:
        found = self.ledger.glasses(decision.connection)
        return Glass.of(found, organization, self.known.stage, decision, self.known.now)

    def _of_rejected(self, decision: Decision, warnings: list[Reason]) -> list[Reason]:
        """Files that do not count refuse where they may hide one that would; what is served unchanged goes on."""
        found = self.ledger.rejected(decision.organization, decision.connection)
        serial = decision.approval.serial if decision.approval else 0
        hiding = self.ledger.hiding(decision.organization, decision.connection, serial)
        if decision.approval is not None and self._unchanged(decision):
            hiding = []
        warnings += [r for r in found if r not in hiding]
        return hiding

    def _of_approval(
        self, organization: Organization, connection: EhrConnection, decision: Decision, warnings: list[Reason]
    ) -> Iterator[Reason]:
        approval = decision.approval
        assert approval is not None
        yield from _of_people(organization, connection, approval)
        if approval.decision is Verdict.REFUSE:
            yield Reason(Code.APPROVAL_REFUSED, "an approval", f"a refusal (serial {approval.serial})")
        served = self.known.served.of(decision.connection)
        seen = max(served.serial if served else 0, self.known.highest_serials.get(decision.connection, 0))
        if approval.serial < seen:
            yield Reason(Code.SERIAL_ROLLED_BACK, f"serial {seen} or higher", f"serial {approval.serial}")
        yield from self._of_time(decision, approval, warnings)

    def _of_time(self, decision: Decision, approval: Approval, warnings: list[Reason]) -> Iterator[Reason]:
        now = self.known.now
        if not approval.begun(now):
            yield Reason(Code.APPROVAL_NOT_YET_VALID, "an approval from before now", f"one of {approval.issued}")
        elif approval.ended(now):
            expired = Reason(Code.APPROVAL_EXPIRED, "an approval in force", f"one that expired {approval.expires}")
            served = self.known.served.of(decision.connection)
            if served is not None and _served_by(served, approval, decision.sha256, now):
                warnings.append(expired)
            else:
                yield expired
        elif moment(approval.expires) - now <= WARN_BEFORE:
            got = f"one that expires {approval.expires}"
            warnings.append(Reason(Code.EXPIRES_SOON, "an approval for 30 days or more", got))

    def _of_production(
        self, organization: Organization, connection: EhrConnection, decision: Decision, warnings: list[Reason]
    ) -> Iterator[Reason]:
        approval = decision.approval
        if connection.stage is not Stage.PRODUCTION or approval is None:
            return
        reference = approval.test_connection
        if reference is None:
            yield Reason(Code.TEST_CONNECTION_MISSING, "an approval that names its test connection", "one without")
            return
        found: list[Reason] = []
        if self.known.proposals is not None:
            found += of_test(self.proposals, organization, connection, reference)
            found += of_copy(self.proposals, organization, connection, decision.sha256)
        found += of_rehearsal(self.known, self.ledger, organization, approval)
        unchanged = self._unchanged(decision)
        warnings += [r for r in found if unchanged and r.code in _OF_THE_PROPOSAL]
        yield from (r for r in found if not (unchanged and r.code in _OF_THE_PROPOSAL))

    # --- what is promoted, revocations, conclusion --------------------------------------------------------------

    def _of_promoted(self, decision: Decision) -> Iterator[Reason]:
        """In a pull request `promoted.json` changes by what is promoted with it, and never backwards."""
        if self.known.at_base is None:
            return
        before, after = self.known.at_base.of(decision.connection), self.known.promoted.of(decision.connection)
        if before is not None and (after is None or after.serial < before.serial):
            got = f"serial {after.serial}" if after else "no entry"
            yield Reason(Code.PROMOTED_ROLLED_BACK, f"promoted.json with serial {before.serial} or higher", got)
        elif after is not None and after != before and decision.approval is not None:
            says = (after.sha256, after.serial)
            if says != (decision.sha256, decision.approval.serial) or after.promoted_at > at(self.known.now):
                expected = f"{decision.sha256[:12]}, serial {decision.approval.serial} in promoted.json, now or earlier"
                got = f"{after.sha256[:12]}, serial {after.serial}, {after.promoted_at}"
                yield Reason(Code.PROMOTED_DIFFERS, expected, got)

    def _of_revocations(
        self, organization: Organization, decision: Decision, warnings: list[Reason]
    ) -> Iterator[Reason]:
        held = self.known.revocations.get(organization.geography)
        refused = self.known.unheld.get(organization.geography)
        if held is None and refused is not None:
            yield refused
        elif held is None:
            expected = f"a list of revocations of {organization.geography}, {self.known.stage}"
            never = Reason(Code.REVOCATIONS_NEVER_HELD, expected, "none, ever")
            yield from self._by_what_is_known(never, warnings)
        if held is None:
            return
        entry = held.revoked(decision.connection, decision.sha256)
        if entry is not None:
            yield Reason(Code.REVOKED, "no revocation", f"one of {entry.at}: {entry.reason}")
        if held.is_stale(self.known.now):
            expires = held.revocations.expires
            stale = Reason(Code.REVOCATIONS_STALE, "a list of revocations in force", f"one that expired {expires}")
            if self._unchanged(decision) or self.known.stage is Stage.TEST:
                warnings.append(stale)
            else:
                yield stale

    def _by_what_is_known(self, never: Reason, warnings: list[Reason]) -> Iterator[Reason]:
        """Files need not have what the channel has: a list that is not there is then a warning."""
        if self.known.by_files:
            warnings.append(never)
        else:
            yield never

    def _concluded(
        self, organization: Organization, decision: Decision, reasons: list[Reason], warnings: tuple[Reason, ...]
    ) -> Decision:
        left, waived = self._glass(organization, decision).without_waived(reasons)
        names = (decision.organization, decision.connection, decision.sha256, decision.approval)
        if not left:
            return Approved(*names, (*warnings, *waived))
        codes = {r.code for r in left}
        stays = self._unchanged(decision) and not codes <= _OF_THE_IMAGE and not codes & _OF_THE_REQUEST
        return (Withdrawn if stays else Refused)(*names, tuple(dict.fromkeys(left)), (*warnings, *waived))


def _about(organization: Organization, connection: EhrConnection, sha256: str, filed: Filed[Approval]) -> Reason | None:
    """The first thing in which an approval is about something else."""
    approval = filed.predicate
    pairs: Mapping[Code, tuple[str, str, str]] = {
        Code.APPROVAL_ORGANIZATION: ("organisation", approval.organization, organization.id),
        Code.APPROVAL_TENANT: ("tenant", approval.tenant_id, organization.tenant_id),
        Code.APPROVAL_GEOGRAPHY: ("geography", approval.geography, organization.geography),
        Code.APPROVAL_STAGE: ("stage", approval.stage, connection.stage),
        Code.APPROVAL_URL: ("FHIR base URL", approval.fhir_base_url, connection.fhir_base_url),
    }
    for code, (what, approved, configured) in pairs.items():
        if approved != configured:
            return Reason(code, f"an approval of the {what} {configured}", f"one of {approved}", filed.path)
    if filed.sha256 != sha256:
        expected = f"the configuration that was approved ({filed.sha256[:12]})"
        return Reason(Code.CONFIGURATION_CHANGED, expected, f"another one ({sha256[:12]})", filed.path)
    return None


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


def _served_by(served: PromotedConnection, approval: Approval, sha256: str, now: datetime) -> bool:
    """Whether it was promoted, as it is now, while this approval was in force."""
    return (
        served.sha256 == sha256
        and served.serial == approval.serial
        and approval.issued <= served.promoted_at < approval.expires
        and moment(served.promoted_at) <= now
    )
