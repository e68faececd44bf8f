"""What stands below `approvals/`: statements by organisation and connection, lists of revocations, what is promoted.

Owns which of it concerns a geography, and the way from a configuration with it to what `decide` needs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from schemas.promotion.decision import Known
from schemas.promotion.envelope import StatementFile, Verified, verify
from schemas.promotion.promoted import FILE, Promoted, read_promoted
from schemas.promotion.reasons import Reason
from schemas.promotion.revocation import Held, accept
from schemas.promotion.statement import FOLDER, REHEARSAL, is_statement_file
from schemas.promotion.trust import Trust, TrustAnchors
from schemas.stack_config import Organization, StackConfig
from schemas.vocabulary import GeographyName, Stage


@dataclass(frozen=True)
class Approvals:
    """The folder's content."""

    statements: tuple[StatementFile, ...] = ()
    promoted: Promoted = field(default_factory=Promoted)

    @classmethod
    def read(cls, paths: Iterable[str], read: Callable[[str], bytes]) -> "Approvals":
        """From the paths of all files of the project below `approvals/`. Raises `PromotedInvalid`."""
        names = sorted(paths)
        files = tuple(StatementFile(p, read(p)) for p in names if is_statement_file(p))
        return cls(files, read_promoted(read(FILE) if FILE in names else None))

    def of_geography(
        self, stage: Stage, geography: GeographyName, organizations: Sequence[Organization]
    ) -> "Approvals":
        """What decides on these organisations' connections, and the geography's list of revocations of this stage.

        Of other connections of theirs (of test, where the stage is production) rehearsals alone do, for whoever does
        not know the test stack's configuration.
        """
        connections = {c.id for o in organizations for c in o.connections}
        names = {o.id for o in organizations}
        revocations = revocations_file(geography, stage)

        def concerns(path: str) -> bool:
            _, organization, *below = path.split("/")
            return organization in names and (below[0] in connections or below[-1].startswith(REHEARSAL))

        own = tuple(s for s in self.statements if s.path == revocations or concerns(s.path))
        promoted = {k: v for k, v in self.promoted.connections.items() if k in connections}
        return Approvals(own, Promoted(connections=promoted))


def revocations_file(geography: GeographyName, stage: Stage) -> str:
    return f"{FOLDER}/revocations/{geography}-{stage}.json"


def held_in(
    statements: Sequence[StatementFile],
    trust: Trust,
    stage: Stage,
    geographies: Iterable[GeographyName],
    now: datetime,
) -> tuple[dict[GeographyName, Held], list[Reason]]:
    """The lists of revocations among the files, by geography, and why others do not count.

    A list that has expired is held all the same: who goes by files has nothing newer. `decide` says that it is stale.
    """
    found = _lists(statements, trust, stage, geographies, now)
    held = {geography: list_ for geography, list_ in found.items() if isinstance(list_, Held)}
    return held, [reason for reason in found.values() if isinstance(reason, Reason)]


def _lists(
    statements: Sequence[StatementFile],
    trust: Trust,
    stage: Stage,
    geographies: Iterable[GeographyName],
    now: datetime,
) -> dict[GeographyName, Held | Reason]:
    """For each geography that has a list, itself, or why it does not count."""
    found: dict[GeographyName, Held | Reason] = {}
    by_path = {s.path: s for s in statements}
    for geography in geographies:
        file = by_path.get(revocations_file(geography, stage))
        if file is not None:
            list_ = verify(file, trust)
            found[geography] = (
                accept(list_, None, geography, stage, now, expired=True)
                if isinstance(list_, Verified)
                else list_.reason
            )
    return found


def known_of_stack(
    stack: StackConfig,
    approvals: Approvals,
    anchors: TrustAnchors,
    image: str | None,
    now: datetime,
    *,
    source: StackConfig | None = None,
    at_base: Promoted | None = None,
    highest_serials: Mapping[str, int] | None = None,
) -> Known:
    """What is known where the project's files are; `image` is the stack's, `source` the test stack before it."""
    trust = Trust(stack.promotion.trusted_keys, anchors)
    lists = _lists(approvals.statements, trust, stack.stage, stack.geographies, now)
    return Known(
        stage=stack.stage,
        organizations=[o for g in stack.geographies for o in stack.served_in(g)],
        hosts={name: g.public_hosts for name, g in stack.geographies.items()},
        statements=approvals.statements,
        trust=trust,
        image=image,
        now=now,
        images={name: stack.image_in(name, image) for name in stack.geographies},
        rehearsal=stack.promotion.rehearsal,
        revocations={geography: held for geography, held in lists.items() if isinstance(held, Held)},
        unheld={geography: reason for geography, reason in lists.items() if isinstance(reason, Reason)},
        highest_serials=highest_serials or {},
        promoted=approvals.promoted,
        at_base=at_base,
        proposals=source.organizations if source else None,
        by_files=True,
    )
