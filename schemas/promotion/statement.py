"""What signed statements say: in-toto Statements v1 with one of four predicates.

Owns their shape, their payload bytes (RFC 8785 JSON), and where each one's file stands below `approvals/`. Unknown
fields are refused. Signatures are in `envelope.py`; what follows from statements is in `decide.py`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from schemas.config_model import ConfigModel
from schemas.promotion.canonical import canonical, digest
from schemas.scalars import EhrUrl, FhirBaseUrl, Guid, Identifier, ImageDigest, Sha256, Timestamp
from schemas.vocabulary import GeographyName, Stage, StatementType

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
FOLDER = "approvals"
REHEARSAL, BREAK_GLASS = "rehearsal-", "break-glass-"
"""How the names of their files begin; an approval's has its serial."""
LONGEST_BREAK_GLASS_HOURS = 72
LONGEST_APPROVAL_DAYS = 730


def _without_links(value: str) -> str:
    if "//" in value or "www." in value.lower():
        raise ValueError("expected no address of a page")
    return value


ReasonText = Annotated[
    str,
    StringConstraints(pattern=r"^[^\W_](?:[^\W_]|[ .,:;'()/+-])*$", max_length=300),
    AfterValidator(_without_links),
    Field(json_schema_extra={"errorMessage": "expected one line of letters, digits and simple punctuation"}),
]
"""A person's reason: no markup, control characters or links, wherever it will be shown."""

ReasonCode = Annotated[str, StringConstraints(pattern=r"^[a-z]+(?:-[a-z]+)*$", max_length=40)]
"""A code of `reasons.py`, or of a version that had others."""

ShortText = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{1,200}$")]
"""What a server says of itself, in printable ASCII."""


def at(moment: datetime) -> str:
    """A moment as statements write it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """Of a `Timestamp`, whose pattern says more than `fromisoformat` does."""
    return datetime.fromisoformat(text)


class Verdict(StrEnum):
    APPROVE = "approve"
    REFUSE = "refuse"


class Release(StrEnum):
    """Whether the EHR's release is one that the connector works with."""

    ACCEPTED = "accepted"
    NOT_VERIFIABLE = "not-verifiable"
    NOT_APPLICABLE = "not-applicable"


class Account(ConfigModel):
    """A person, as a pseudonym: an Entra account by tenant and object id."""

    tenant_id: Guid
    object_id: Guid


class Evidence(ConfigModel):
    """What was seen at the FHIR base URL when the approver signed in there."""

    issuer: EhrUrl
    capability_sha256: Sha256
    software: ShortText | None = None
    version: ShortText | None = None
    fhir_version: ShortText | None = None
    release: Release


class ConnectionReference(ConfigModel):
    id: Identifier
    sha256: Sha256


class _Dated(ConfigModel):
    issued: Timestamp
    expires: Timestamp

    @model_validator(mode="after")
    def _in_order(self) -> "_Dated":
        if self.expires <= self.issued:
            raise ValueError("expected expires after issued")
        return self

    def begun(self, now: datetime) -> bool:
        return moment(self.issued) <= now

    def ended(self, now: datetime) -> bool:
        """Valid to the second before `expires`."""
        return now >= moment(self.expires)


class Approval(_Dated):
    """The approver signed in to Microsoft 365 and to the EHR, saw this configuration, and accepted or refused it."""

    form: Literal[1] = Field(description="The canonical form that the subject's digest was made from")
    decision: Verdict
    organization: Identifier
    tenant_id: Guid
    geography: GeographyName
    stage: Stage
    connection: Identifier
    fhir_base_url: FhirBaseUrl
    approver: Account
    same_person: bool = Field(description="The approver is an administrator of the organisation too")
    evidence: Evidence
    test_connection: ConnectionReference | None = Field(
        default=None, description="For a production connection: the test connection that stands for it"
    )
    serial: Annotated[int, Field(ge=1, le=2**31)]

    @model_validator(mode="after")
    def _bounded(self) -> "Approval":
        if moment(self.expires) - moment(self.issued) > timedelta(days=LONGEST_APPROVAL_DAYS):
            raise ValueError(f"expected at most {LONGEST_APPROVAL_DAYS} days")
        return self


class Rehearsal(_Dated):
    """A whole virtual visit passed in test, with that configuration and image."""

    form: Literal[1]
    organization: Identifier
    geography: GeographyName
    connection: Identifier
    image: ImageDigest


class Revoked(ConfigModel):
    """One connection that takes no launches any more; without a digest, whatever its configuration."""

    connection: Identifier
    sha256: Sha256 | None = None
    reason: ReasonText
    at: Timestamp


class Revocations(_Dated):
    """All revocations of one geography and stage; a list replaces the one before it."""

    geography: GeographyName
    stage: Stage
    version: Annotated[int, Field(ge=1, le=2**31)]
    revoked: tuple[Revoked, ...]


class AuditHead(ConfigModel):
    """The last row of a geography's audit chain at a moment; the subject's digest is the row's hash."""

    geography: GeographyName
    stage: Stage
    sequence: Annotated[int, Field(ge=1)]
    issued: Timestamp


class BreakGlass(_Dated):
    """For hours, in an emergency: reasons that do not count for one connection as it is now."""

    form: Literal[1]
    organization: Identifier
    geography: GeographyName
    stage: Stage
    connection: Identifier
    waives: Annotated[tuple[ReasonCode, ...], Field(min_length=1)]
    reason: ReasonText
    issued_by: Account

    @model_validator(mode="after")
    def _short(self) -> "BreakGlass":
        if moment(self.expires) - moment(self.issued) > timedelta(hours=LONGEST_BREAK_GLASS_HOURS):
            raise ValueError(f"expected at most {LONGEST_BREAK_GLASS_HOURS} hours")
        return self


Predicate = Approval | Rehearsal | Revocations | BreakGlass | AuditHead

PREDICATES: dict[str, tuple[StatementType, type[Predicate]]] = {
    "urn:teams-ehr-connector:approval:1": (StatementType.APPROVAL, Approval),
    "urn:teams-ehr-connector:rehearsal:1": (StatementType.REHEARSAL, Rehearsal),
    "urn:teams-ehr-connector:revocations:1": (StatementType.REVOCATION, Revocations),
    "urn:teams-ehr-connector:break-glass:1": (StatementType.BREAK_GLASS, BreakGlass),
    "urn:teams-ehr-connector:audit-head:1": (StatementType.AUDIT_HEAD, AuditHead),
}
PREDICATE_TYPES = {model: uri for uri, (_, model) in PREDICATES.items()}


class Digests(ConfigModel):
    sha256: Sha256


class Subject(ConfigModel):
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+/[a-z0-9-]+(?:/[a-z0-9-]+)?$", max_length=200)]
    digest: Digests


class Statement(ConfigModel):
    """An in-toto Statement v1 with exactly one subject; `predicate` is checked by its type."""

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: Annotated[tuple[Subject, ...], Field(min_length=1, max_length=1)]
    predicate_type: str
    predicate: dict[str, object]


def subject_name(predicate: Predicate) -> str:
    """What a statement is about, by name."""
    if isinstance(predicate, Revocations):
        return f"revocations/{predicate.geography}/{predicate.stage}"
    if isinstance(predicate, AuditHead):
        return f"audit/{predicate.geography}/{predicate.stage}"
    return f"{predicate.organization}/{predicate.connection}"


def payload(predicate: Predicate, sha256: str | None = None) -> bytes:
    """The bytes to be signed. `sha256` is the subject's: of a connection or an audit row."""
    body = predicate.model_dump(mode="json", by_alias=True, exclude_none=True)
    if sha256 is None:
        if not isinstance(predicate, Revocations):
            raise ValueError("expected the digest of the subject")
        sha256 = revocations_digest(predicate)
    return canonical(
        {
            "_type": STATEMENT,
            "subject": [{"name": subject_name(predicate), "digest": {"sha256": sha256}}],
            "predicateType": PREDICATE_TYPES[type(predicate)],
            "predicate": body,
        }
    )


def revocations_digest(revocations: Revocations) -> str:
    body = revocations.model_dump(mode="json", by_alias=True, exclude_none=True)
    return digest("revocations/1", canonical(body))


def place_of(predicate: Predicate) -> str | None:
    """The path of a statement's file, by organisation and connection; None where it stands in no repository."""
    match predicate:
        case Approval():
            name = f"approval-{predicate.serial:06d}-{predicate.decision}"
        case Rehearsal():
            name = f"{REHEARSAL}{_stamp(predicate.issued)}-{predicate.image.removeprefix('sha256:')[:12]}"
        case BreakGlass():
            name = f"{BREAK_GLASS}{_stamp(predicate.issued)}"
        case Revocations():
            return f"{FOLDER}/revocations/{predicate.geography}-{predicate.stage}.json"
        case AuditHead():
            return None
    return f"{FOLDER}/{predicate.organization}/{predicate.connection}/{name}.json"


def is_statement_file(path: str) -> bool:
    """Whether a path below `approvals/` is a statement's: everything but what is promoted now, and what is no JSON."""
    return path.startswith(f"{FOLDER}/") and path.endswith(".json") and path.count("/") >= 2


def next_serial(approvals: Sequence[Approval], highest_seen: int = 0) -> int:
    """The serial of a new approval of a connection."""
    return max([highest_seen, *(a.serial for a in approvals)]) + 1


def _stamp(timestamp: str) -> str:
    return timestamp.replace("-", "").replace(":", "").lower()
