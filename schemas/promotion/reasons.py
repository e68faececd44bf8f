"""Every reason for which a connection is not served: one code a rule, in words, with what to do.

A reason is a value ("expected ..., got ..."), never an exception. `ADVICE` is for whoever reads it in a terminal, a
pull request or the portal; nothing in a reason is patient data or a secret.
"""

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """One for each rule of `envelope.py`, `trust.py`, `revocation.py`, `ledger.py`, `production.py` and `decide.py`."""

    # the file of a statement
    STATEMENT_MALFORMED = "statement-malformed"
    PAYLOAD_TYPE = "payload-type"
    STATEMENT_TYPE = "statement-type"
    STATEMENT_NOT_CANONICAL = "statement-not-canonical"
    STATEMENT_MISPLACED = "statement-misplaced"
    # its signature
    SIGNATURE_INVALID = "signature-invalid"
    KEY_UNKNOWN = "key-unknown"
    KEY_NOT_IN_IMAGE = "key-not-in-image"
    KEY_TYPE = "key-type"
    KEY_SCOPE = "key-scope"
    KEY_RETIRED = "key-retired"
    # what an approval is about
    APPROVAL_MISSING = "approval-missing"
    APPROVAL_ORGANIZATION = "approval-organization"
    APPROVAL_TENANT = "approval-tenant"
    APPROVAL_GEOGRAPHY = "approval-geography"
    APPROVAL_STAGE = "approval-stage"
    APPROVAL_URL = "approval-url"
    CONFIGURATION_CHANGED = "configuration-changed"
    # who gave it
    APPROVER_DIFFERS = "approver-differs"
    SAME_PERSON_DIFFERS = "same-person-differs"
    ONE_PERSON = "one-person"
    # what it says, and when
    APPROVAL_REFUSED = "approval-refused"
    SERIAL_REPEATED = "serial-repeated"
    SERIAL_ROLLED_BACK = "serial-rolled-back"
    APPROVAL_NOT_YET_VALID = "approval-not-yet-valid"
    APPROVAL_EXPIRED = "approval-expired"
    # the test connection, and the copy
    TEST_CONNECTION_MISSING = "test-connection-missing"
    TEST_CONNECTION_CHANGED = "test-connection-changed"
    TEST_CONNECTION_DIFFERS = "test-connection-differs"
    NOT_PROPOSED = "not-proposed"
    COPY_DIFFERS = "copy-differs"
    ORGANIZATION_INCOMPLETE = "organization-incomplete"
    # the rehearsal
    REHEARSAL_MISSING = "rehearsal-missing"
    REHEARSAL_ORGANIZATION = "rehearsal-organization"
    REHEARSAL_DIGEST = "rehearsal-digest"
    REHEARSAL_IMAGE = "rehearsal-image"
    REHEARSAL_EXPIRED = "rehearsal-expired"
    # revocations
    REVOCATIONS_NEVER_HELD = "revocations-never-held"
    REVOCATIONS_STALE = "revocations-stale"
    REVOCATIONS_OLDER = "revocations-older"
    REVOCATIONS_NOT_YET = "revocations-not-yet"
    REVOCATIONS_ELSEWHERE = "revocations-elsewhere"
    REVOKED = "revoked"
    # what is promoted now
    PROMOTED_ROLLED_BACK = "promoted-rolled-back"
    PROMOTED_DIFFERS = "promoted-differs"
    # warnings only
    EXPIRES_SOON = "approval-expires-soon"
    BREAK_GLASS = "break-glass"


@dataclass(frozen=True)
class Reason:
    """`expected` and `got` complete the sentence "expected ..., got ..."; `file` is that of the statement, if any."""

    code: Code
    expected: str
    got: str
    file: str = ""

    @property
    def message(self) -> str:
        return f"expected {self.expected}, got {self.got}"

    @property
    def advice(self) -> str:
        return ADVICE[self.code]

    def __str__(self) -> str:
        where = f"{self.file}: " if self.file else ""
        return f"{where}{self.message} [{self.code}]"


_PORTAL = "the approver approves it in the portal of the test stack"
_FILE = "remove the file in a pull request, and take the statement anew from where it was signed"
_KEYS = "`connector trust` shows the keys; a key is added or retired in a pull request of its own"
_REVOKE = "`connector revoke --renew` publishes a new list"
_PROMOTED = "approvals/promoted.json is written by `connector promote` alone: take its changes back"
_REHEARSE = "make a whole visit on the test stack with this image (`connector rehearse` where EHRs are emulated)"

ADVICE: dict[Code, str] = {
    Code.STATEMENT_MALFORMED: _FILE,
    Code.PAYLOAD_TYPE: _FILE,
    Code.STATEMENT_TYPE: _FILE,
    Code.STATEMENT_NOT_CANONICAL: _FILE,
    Code.STATEMENT_MISPLACED: "statements are copied by `connector promote`; put the file back where it was",
    Code.SIGNATURE_INVALID: _FILE,
    Code.KEY_UNKNOWN: _KEYS,
    Code.KEY_NOT_IN_IMAGE: _KEYS,
    Code.KEY_TYPE: _KEYS,
    Code.KEY_SCOPE: _KEYS,
    Code.KEY_RETIRED: _PORTAL,
    Code.APPROVAL_MISSING: _PORTAL,
    Code.APPROVAL_ORGANIZATION: _PORTAL,
    Code.APPROVAL_TENANT: _PORTAL,
    Code.APPROVAL_GEOGRAPHY: _PORTAL,
    Code.APPROVAL_STAGE: _PORTAL,
    Code.APPROVAL_URL: _PORTAL,
    Code.CONFIGURATION_CHANGED: f"undo the change, or {_PORTAL} as it is now",
    Code.APPROVER_DIFFERS: "the approver that the configuration names now approves it in the portal",
    Code.SAME_PERSON_DIFFERS: _PORTAL,
    Code.ONE_PERSON: "name another approver, or set onePerson for the organisation in a pull request of its own",
    Code.APPROVAL_REFUSED: "ask the approver what is wrong; after a change they decide anew in the portal",
    Code.SERIAL_REPEATED: _PORTAL,
    Code.SERIAL_ROLLED_BACK: "bring back the newer approval, or the approver approves it anew in the portal",
    Code.APPROVAL_NOT_YET_VALID: "compare the clocks of the portal and of this machine",
    Code.APPROVAL_EXPIRED: _PORTAL,
    Code.TEST_CONNECTION_MISSING: _PORTAL,
    Code.TEST_CONNECTION_CHANGED: _PORTAL,
    Code.TEST_CONNECTION_DIFFERS: "make both alike but for URL, client ids, credentials, records and origins",
    Code.NOT_PROPOSED: "the administrator proposes it in the test stack first",
    Code.COPY_DIFFERS: "`connector promote` copies it anew from the test stack",
    Code.ORGANIZATION_INCOMPLETE: "an organisation is promoted when every FHIR base URL of it is approved",
    Code.REHEARSAL_MISSING: _REHEARSE,
    Code.REHEARSAL_ORGANIZATION: _REHEARSE,
    Code.REHEARSAL_DIGEST: _REHEARSE,
    Code.REHEARSAL_IMAGE: _REHEARSE,
    Code.REHEARSAL_EXPIRED: _REHEARSE,
    Code.REVOCATIONS_NEVER_HELD: _REVOKE,
    Code.REVOCATIONS_STALE: _REVOKE,
    Code.REVOCATIONS_OLDER: _REVOKE,
    Code.REVOCATIONS_NOT_YET: "compare the clocks of whoever published the list and of this machine",
    Code.REVOCATIONS_ELSEWHERE: _REVOKE,
    Code.REVOKED: "`connector explain` says why; `connector revoke --lift` takes it back",
    Code.PROMOTED_ROLLED_BACK: _PROMOTED,
    Code.PROMOTED_DIFFERS: _PROMOTED,
    Code.EXPIRES_SOON: _PORTAL,
    Code.BREAK_GLASS: "end the emergency: approve, rehearse and promote as usual",
}
