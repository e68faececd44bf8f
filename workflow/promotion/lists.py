"""Lists of revocations as operators handle them: the newest that is known anywhere, the next one, and its publication.

Owns the version (highest known, plus one), the time that a list is in force, and the order: published first, because
the channel is what runtimes read within each minute; what follows is the record of it in the repository.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from runtime.promotion.revocations import BLOB, CONTAINER
from schemas.promotion.approvals import revocations_file
from schemas.promotion.envelope import StatementFile, Verified, verify
from schemas.promotion.revocation import Held, accept
from schemas.promotion.statement import FOLDER, Revocations, Revoked, at, payload
from schemas.stack_config import StackConfig
from schemas.vocabulary import GeographyName, StatementType
from workflow.project import Project
from workflow.promotion.operator import NotReachable, Operator, operating

DAYS = 7
"""How long a list is in force: somebody must renew it, or runtimes alert."""

RENEW_BEFORE = timedelta(days=1)


@dataclass(frozen=True)
class Published:
    """A new list of a geography; `published` is False where there is no channel yet."""

    geography: GeographyName
    revocations: Revocations
    file: StatementFile
    published: bool


async def newest(
    operator: Operator, geography: GeographyName, files: Iterable[StatementFile], now: datetime
) -> tuple[Held | None, bool]:
    """The newest list among the files and the channel, and whether the channel has it in force."""
    path = revocations_file(geography, operator.stack.stage)
    storage = operator.storage(geography)
    blob = await storage.read(CONTAINER, BLOB) if storage else None
    held: Held | None = None
    for content in [*(f.content for f in files if f.path == path), *([blob] if blob is not None else [])]:
        found = _verified(operator, geography, path, content, now)
        if found is not None and (held is None or found.revocations.version > held.revocations.version):
            held = found
    in_channel = _verified(operator, geography, path, blob, now) if blob is not None else None
    fresh = held is not None and in_channel == held and not held.revocations.ended(now + RENEW_BEFORE)
    return held, fresh


async def published_list(operator: Operator, geography: GeographyName, now: datetime) -> tuple[bytes, Held] | None:
    """The list in the channel, as it is and as it is held; None where none was published.

    Raises `NotReachable` where there is no channel, or what is there does not count, and what the storage raises.
    """
    storage = operator.storage(geography)
    if storage is None:
        raise NotReachable(f"the emulated cloud has no storage account of {geography}, {operator.stack.stage}")
    blob = await storage.read(CONTAINER, BLOB)
    if blob is None:
        return None
    held = _verified(operator, geography, revocations_file(geography, operator.stack.stage), blob, now)
    if held is None:
        raise NotReachable(f"what is in the channel of {geography}, {operator.stack.stage}, is no list that counts")
    return blob, held


def _verified(operator: Operator, geography: GeographyName, path: str, content: bytes, now: datetime) -> Held | None:
    found = verify(StatementFile(path, content), operator.trust)
    if not isinstance(found, Verified):
        return None
    held = accept(found, None, geography, operator.stack.stage, now, expired=True)
    return held if isinstance(held, Held) else None


async def publish(
    operator: Operator,
    geography: GeographyName,
    revoked: Sequence[Revoked],
    version: int,
    now: datetime,
    days: int = DAYS,
) -> Published:
    """Sign a list and put it into the channel. Raises `NoSigningKey`, and what vault and storage raise."""
    list_ = Revocations(
        geography=geography,
        stage=operator.stack.stage,
        version=version,
        issued=at(now),
        expires=at(now + timedelta(days=days)),
        revoked=tuple(revoked),
    )
    content = await operator.signed(StatementType.REVOCATION, geography, payload(list_))
    storage = operator.storage(geography)
    if storage is not None:
        await storage.replace(CONTAINER, BLOB, content)
    file = StatementFile(revocations_file(geography, operator.stack.stage), content)
    return Published(geography, list_, file, storage is not None)


async def begin_lists(
    project: Project, stack: StackConfig, geographies: Iterable[GeographyName], now: datetime | None = None
) -> list[str]:
    """Where a channel has no list in force, publish the one that is known, or an empty one where none ever was.

    Answers what was published, in words. Raises `NotReachable` where a geography has no channel yet.
    """
    moment = (now or datetime.now(UTC)).replace(microsecond=0)
    files = [StatementFile(p, project.files.read(p)) for p in project.files.below(f"{FOLDER}/revocations")]
    told: list[str] = []
    async with operating(project, stack) as operator:
        for geography in geographies:
            if operator.storage(geography) is None or operator.vault(geography) is None:
                raise NotReachable(f"the emulated cloud has no vault or storage account of {geography}, {stack.stage}")
            held, fresh = await newest(operator, geography, files, moment)
            if not fresh:
                revoked = held.revocations.revoked if held else ()
                version = held.revocations.version + 1 if held else 1
                made = await publish(operator, geography, revoked, version, moment)
                told.append(f"{geography}: list of revocations {version}, in force until {made.revocations.expires}")
    return told
