"""Production serves what was approved: the decision again, from what is emitted, whatever the program decided.

Judged on a container app, whose containers are told the document's digest and number of chunks and run an image by
digest, all literal; the chunks were emitted as secrets before it. What a document says about whose keys count is not
believed: its promotion, stage, cloud and hosts must be those of the stack's file, and what is promoted that of the
project. Anchors are the project's, which the image carries. Mandatory in an update; in a preview it advises.
"""

import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

from pulumi_policy import EnforcementLevel, ReportViolation, ResourceValidationArgs, ResourceValidationPolicy
from pydantic import ValidationError

from policies.containers import containers, environments
from policies.judging import AZURE, Subject, known, settings_of
from policies.preview import is_preview_by_environment
from policies.tags import GEOGRAPHY
from schemas.configuration_document import ConfigurationDocument, ConfigurationDocumentInvalid, unpack
from schemas.promotion.approvals import Approvals, held_in
from schemas.promotion.decide import Known, decide, stops
from schemas.promotion.envelope import verify_all
from schemas.promotion.promoted import FILE, PromotedInvalid, read_promoted
from schemas.promotion.statement import FOLDER
from schemas.promotion.telling import refusal
from schemas.promotion.trust import ANCHOR_FILES, AnchorsInvalid, Trust, read_anchors
from schemas.promotion_config import Promotion
from schemas.stack_config import PROJECT, PublicHosts
from schemas.strict_yaml import read_yaml
from schemas.vocabulary import Cloud, Stage

LOWER_PRIORITY = 10
"""What nice(1) gives: a tenth of the time of others who compute, so that on a busy machine nobody waits long for it."""

SHA256, COUNT = "CONNECTOR_CONFIGURATION_SHA256", "CONNECTOR_CONFIGURATION_CHUNKS"


@dataclass
class Chunks:
    """The chunks emitted so far, by geography, in their order; a resource that is judged again counts once."""

    of_geography: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def take(self, subject: Subject, urn: str) -> None:
        value = subject.get("properties", "value")
        if isinstance(value, str):
            self.of_geography.setdefault(str(subject.get("tags", GEOGRAPHY)), {})[urn] = value

    def last(self, geography: str, count: int) -> list[str]:
        return list(self.of_geography.get(geography, {}).values())[-count:]


class Approved:
    """One run of the pack: what it has seen, and documents that it has judged."""

    def __init__(self) -> None:
        self.chunks = Chunks()
        self.policy = ResourceValidationPolicy(
            "approved-configuration",
            "Production serves connections that are approved and rehearsed as they are emitted.",
            self.validate,
            _level(preview=is_preview_by_environment()),
        )
        self._judged: dict[tuple[str, frozenset[str]], list[str]] = {}
        self.ahead: threading.Thread | None = None

    def configured(self, stack: str, preview: bool) -> None:
        """The engine's word decides between advice and refusal, and while the program reads and decides, this process
        verifies what is below `approvals/`: what is emitted of it is known then (`verify_all`).
        """
        self.policy.enforcement_level = _level(preview=preview)
        self.ahead = threading.Thread(target=_verify, args=(stack, Path.cwd()), daemon=True)
        self.ahead.start()

    def validate(self, args: ResourceValidationArgs, report_violation: ReportViolation) -> None:
        stack, project = args.urn.split(":", 3)[2], Path.cwd()
        subject = Subject(args.resource_type.removeprefix(AZURE), args.props, settings_of(stack, project))
        if subject.settings.stage == Stage.TEST:
            return
        match subject.type:
            case "keyvault:Secret":
                self.chunks.take(subject, args.urn)
            case "app:ContainerApp":
                for violation in self.judge(subject, stack, project):
                    report_violation(violation, args.urn)
            case _:
                return

    def judge(self, subject: Subject, stack: str, project: Path) -> Iterator[str]:
        told = {(e.get(SHA256, ""), e.get(COUNT, "")) for _, e in environments(subject)}
        images = frozenset(str(known(c, "image")) for _, c in containers(subject))
        if len(told) != 1 or not all(next(iter(told))) or not next(iter(told))[1].isdecimal():
            yield f"{SHA256}, {COUNT}: expected the literal values of one document in every container"
            return
        sha256, count = next(iter(told))
        if (sha256, images) in self._judged:
            if self._judged[sha256, images]:
                yield "expected a configuration that may be served in production; see the violation before"
            return
        geography = str(subject.get("tags", GEOGRAPHY))
        if self.ahead is not None:
            self.ahead.join()
        try:
            document = unpack(self.chunks.last(geography, int(count)), sha256)
            expected = _expected(stack, project)
            found = [*_differences(document, expected, geography), *_refused(document, expected, images)]
        except (ConfigurationDocumentInvalid, _Unreadable) as problem:
            found = [str(problem)]
        self._judged[sha256, images] = found
        yield from found


class _Unreadable(Exception):
    """The project's own files cannot be read, so nothing can be decided."""


@dataclass(frozen=True)
class _Expected:
    """What the project's files say, whatever the document says."""

    cloud: Cloud
    promotion: Promotion
    hosts: Mapping[str, PublicHosts]
    promoted: Mapping[str, Any]
    trust: Trust


@cache
def _expected(stack: str, project: Path) -> _Expected:
    def ours(key: str) -> Any:
        return config.get(f"{PROJECT}:{key}")

    try:
        document = read_yaml((project / f"Pulumi.{stack}.yaml").read_text("utf-8")).value
        config = cast("Mapping[str, Any]", cast("Mapping[str, Any]", document)["config"])
        cloud = Cloud.EMULATED if ours("cloud") == Cloud.EMULATED else Cloud.AZURE
        promotion = Promotion.model_validate(ours("promotion"))
        geographies = cast("Mapping[str, Mapping[str, Any]]", ours("geographies"))
        anchors = read_anchors((project / ANCHOR_FILES[cloud]).read_bytes())
        promoted = project / FILE
        return _Expected(
            cloud=cloud,
            promotion=promotion,
            hosts={name: PublicHosts.model_validate(g["publicHosts"]) for name, g in geographies.items()},
            promoted=read_promoted(promoted.read_bytes() if promoted.exists() else None).connections,
            trust=Trust(promotion.trusted_keys, anchors),
        )
    except (OSError, KeyError, TypeError, AttributeError, ValidationError, AnchorsInvalid, PromotedInvalid) as problem:
        raise _Unreadable(f"Pulumi.{stack}.yaml: expected a readable project, got {type(problem).__name__}") from None


def _verify(stack: str, project: Path) -> None:
    """Every statement below `approvals/`. What cannot be read is left: whoever judges says so, if it matters then."""
    if sys.platform == "linux":  # there a thread has a priority of its own: the program, which is waited for, is first
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWER_PRIORITY)
    with suppress(Exception):
        if settings_of(stack, project).stage == Stage.TEST:
            return
        found = (path for path in (project / FOLDER).rglob("*") if path.is_file() and not path.is_symlink())
        paths = (path.relative_to(project).as_posix() for path in found)
        trust = _expected(stack, project).trust
        verify_all(Approvals.read(paths, lambda name: (project / name).read_bytes()).statements, trust)


def _differences(document: ConfigurationDocument, expected: _Expected, geography: str) -> Iterator[str]:
    """Where the document says something else than the project's files about how it is to be judged."""
    served = {c.id for o in document.organizations for c in o.connections}
    promoted = {name: entry for name, entry in expected.promoted.items() if name in served}
    pairs: Sequence[tuple[str, object, object]] = (
        ("stage", document.stage, Stage.PRODUCTION),
        ("cloud", document.cloud, expected.cloud),
        ("geography", document.geography, geography),
        ("publicHosts", document.public_hosts, expected.hosts.get(geography)),
        ("promotion", document.promotion, expected.promotion),
        ("promoted", document.promoted.connections, promoted),
    )
    for name, got, wanted in pairs:
        if got != wanted:
            yield f"configuration document: {name}: expected what the project's files say, got something else"
    others = sorted(o.id for o in document.organizations if o.geography != geography)
    if others:
        yield f"configuration document: expected organisations of {geography} only, got {', '.join(others)}"


def _refused(document: ConfigurationDocument, expected: _Expected, images: Iterable[str]) -> Iterator[str]:
    now = datetime.now(UTC)
    place = [document.geography]
    revocations, others = held_in(document.statement_files, expected.trust, Stage.PRODUCTION, place, now)
    for image in sorted(images):
        decisions = decide(
            Known(
                stage=Stage.PRODUCTION,
                organizations=document.organizations,
                hosts={document.geography: document.public_hosts},
                statements=document.statement_files,
                trust=expected.trust,
                image=image,
                now=now,
                rehearsal=expected.promotion.rehearsal,
                revocations=revocations,
                unheld=dict.fromkeys(place, others[0]) if others else {},
                promoted=document.promoted,
                by_files=True,
            )
        )
        if stopping := stops(decisions, Stage.PRODUCTION):
            yield refusal(decisions, stopping)


def _level(*, preview: bool) -> EnforcementLevel:
    return EnforcementLevel.ADVISORY if preview else EnforcementLevel.MANDATORY


APPROVED = Approved()
POLICY = APPROVED.policy
