"""What a decision rests on, and what it can be.

    Decision       of one connection: its digest, and the approval that it rests on, where there is one
      Approved     it is served; `warnings` say what will stop it, or what was waived
      Withdrawn    it was served unchanged until now and takes no launches any more; nobody else is stopped
      Refused      it is not served; in production it stops the update
                   (`warnings` of these two are what would be told if nothing else spoke against it)

How one comes to the other is in `decide.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from schemas.promotion.envelope import StatementFile
from schemas.promotion.promoted import Promoted
from schemas.promotion.reasons import Reason
from schemas.promotion.revocation import Held
from schemas.promotion.statement import Approval
from schemas.promotion.trust import Trust
from schemas.stack_config import Organization, PublicHosts
from schemas.vocabulary import GeographyName, RehearsalPolicy, Stage


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
    warnings: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Refused(Decision):
    reasons: tuple[Reason, ...] = ()
    warnings: tuple[Reason, ...] = ()


Decisions = dict[str, Decision]
"""By connection id."""


@dataclass(frozen=True)
class Known:
    """Everything that a decision rests on. `organizations` have the connections of this stage only.

    `proposals` are the test stack's organisations with their connections of both stages; None where they are not known
    (in the runtime and the policy pack of production). `image` is what a geography is to run, if `images` says nothing
    else of it: None where it keeps what it runs, if anything. `revocations` are the lists held, by geography, and
    `unheld` why one that was found is not held; `by_files` says that this is from files, which need not have what the
    channel has: a list that is not there is then a warning, and the runtime takes no launches until it holds one.
    `highest_serials` is what was seen before, by connection, `at_base` what was promoted at the base revision of a pull
    request.
    """

    stage: Stage
    organizations: Sequence[Organization]
    hosts: Mapping[GeographyName, PublicHosts]
    statements: Sequence[StatementFile]
    trust: Trust
    image: str | None
    now: datetime
    images: Mapping[GeographyName, str | None] = field(default_factory=dict[GeographyName, str | None])
    rehearsal: RehearsalPolicy = RehearsalPolicy.EACH_IMAGE
    revocations: Mapping[GeographyName, Held] = field(default_factory=dict[GeographyName, Held])
    unheld: Mapping[GeographyName, Reason] = field(default_factory=dict[GeographyName, Reason])
    highest_serials: Mapping[str, int] = field(default_factory=dict[str, int])
    promoted: Promoted = field(default_factory=Promoted)
    at_base: Promoted | None = None
    proposals: Sequence[Organization] | None = None
    by_files: bool = False

    def image_in(self, geography: GeographyName) -> str | None:
        """The digest of the image that a geography is to run; None where it keeps what it runs."""
        image = self.images.get(geography, self.image)
        return image_digest_of(image) if image is not None else None

    @property
    def served(self) -> Promoted:
        """What is served now. A pull request's own `promoted.json` makes nothing served that was not before it."""
        return self.promoted if self.at_base is None else self.at_base


def stops(decisions: Mapping[str, Decision], stage: Stage) -> tuple[Refused, ...]:
    """The decisions that stop an update: in production, every refusal."""
    if stage is not Stage.PRODUCTION:
        return ()
    return tuple(d for d in decisions.values() if isinstance(d, Refused))


def image_digest_of(image: str) -> str:
    """`sha256:...` of an image by digest."""
    return image.rpartition("@")[2]
