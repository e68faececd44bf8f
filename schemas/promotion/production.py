"""What production asks of an approved connection: its test connection, the copy, and a rehearsal.

The test stack's configuration is compared where it is known; the rehearsal is asked for everywhere.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from schemas.promotion.decision import Known
from schemas.promotion.ledger import Filed, Ledger
from schemas.promotion.likeness import differences
from schemas.promotion.reasons import Code, Reason
from schemas.promotion.statement import Approval, ConnectionReference, Rehearsal
from schemas.stack_config import EhrConnection, Organization
from schemas.vocabulary import RehearsalPolicy, Stage


@dataclass(frozen=True)
class Proposal:
    """A connection of the test stack's configuration."""

    organization: Organization
    connection: EhrConnection
    sha256: str


Proposals = Mapping[str, Proposal]
"""By connection id."""


def of_test(
    proposals: Proposals, organization: Organization, connection: EhrConnection, reference: ConnectionReference
) -> Iterator[Reason]:
    """The test connection that stands for it, as it was when the approver decided."""
    test = proposals.get(reference.id)
    if test is None or test.organization.id != organization.id or test.connection.stage is not Stage.TEST:
        expected = f"{reference.id} of {organization.id} in the test stack"
        yield Reason(Code.TEST_CONNECTION_MISSING, expected, "no such test connection there")
    elif test.sha256 != reference.sha256:
        expected = f"{reference.id} as it was approved with ({reference.sha256[:12]})"
        yield Reason(Code.TEST_CONNECTION_CHANGED, expected, f"another configuration of it ({test.sha256[:12]})")
    elif differing := differences(test.connection, connection):
        expected = f"{connection.id} and {reference.id} to differ in what each stage has of its own only"
        yield Reason(Code.TEST_CONNECTION_DIFFERS, expected, f"a difference in {', '.join(differing)}")


def of_copy(
    proposals: Proposals, organization: Organization, connection: EhrConnection, sha256: str
) -> Iterator[Reason]:
    """Production holds the promoted copy, equal field by field."""
    proposed = proposals.get(connection.id)
    if (
        proposed is None
        or proposed.organization.id != organization.id
        or proposed.connection.stage is not Stage.PRODUCTION
    ):
        expected = f"{connection.id} of {organization.id} proposed in the test stack"
        yield Reason(Code.NOT_PROPOSED, expected, "no such connection there")
    elif proposed.sha256 != sha256:
        yield Reason(Code.COPY_DIFFERS, f"{connection.id} as the test stack proposes it", "another configuration")


def of_rehearsal(known: Known, ledger: Ledger, organization: Organization, approval: Approval) -> Iterator[Reason]:
    """A whole visit with the test connection as it was approved with; of the latest that fell short, why."""
    reference = approval.test_connection
    if reference is None:
        return
    reasons: list[Reason] = []
    for rehearsal in ledger.rehearsals(reference.id):
        reason = _shortcoming(known, organization, reference.sha256, rehearsal)
        if reason is None:
            return
        reasons.append(reason)
    reasons += ledger.rejected_rehearsals(organization.id, reference.id)
    if reasons:
        yield reasons[0]
    else:
        yield Reason(Code.REHEARSAL_MISSING, f"a rehearsal of {reference.id}", "none")


def _shortcoming(known: Known, organization: Organization, sha256: str, filed: Filed[Rehearsal]) -> Reason | None:
    rehearsal, image = filed.predicate, known.image_in(organization.geography)
    if rehearsal.organization != organization.id or rehearsal.geography != organization.geography:
        expected = f"a rehearsal of {organization.id} in {organization.geography}"
        got = f"one of {rehearsal.organization} in {rehearsal.geography}"
        return Reason(Code.REHEARSAL_ORGANIZATION, expected, got, filed.path)
    if filed.sha256 != sha256:
        expected = f"a rehearsal of the configuration that was approved ({sha256[:12]})"
        return Reason(Code.REHEARSAL_DIGEST, expected, f"one of another ({filed.sha256[:12]})", filed.path)
    if known.rehearsal is RehearsalPolicy.EACH_IMAGE and image is not None and rehearsal.image != image:
        expected = f"a rehearsal with the image {image[:19]}"
        return Reason(Code.REHEARSAL_IMAGE, expected, f"one with {rehearsal.image[:19]}", filed.path)
    if not rehearsal.begun(known.now) or rehearsal.ended(known.now):
        got = f"one from {rehearsal.issued} to {rehearsal.expires}"
        return Reason(Code.REHEARSAL_EXPIRED, "a rehearsal in force", got, filed.path)
    return None
