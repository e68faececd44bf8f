"""Where an organisation stands in the repository: in the file of the stack whose portal this is, or in its own.

Owns finding both at one commit. The stack's file is the one that names this portal's host; what it is called is
nowhere else. Files that two readers could understand differently are refused before anything is made of them.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (Values of YAML are of any type until the models have seen them.)

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.errors import Refusal
from runtime.portal import refusals
from runtime.portal.repository import Repository, RepositoryRefused
from schemas import fit
from schemas.loading import is_ours
from schemas.problems import Path
from schemas.stack_config import PROJECT
from schemas.strict_yaml import read_yaml
from schemas.vocabulary import GeographyName

AT_ONCE = 16
ORGANIZATIONS: Path = ("config", f"{PROJECT}:organizations")


@dataclass(frozen=True)
class Source:
    """An organisation at a commit. `values` are the stack's own, by key; `entries` its organisations as they stand."""

    revision: str
    stack_file: str
    stack_text: str
    values: Mapping[str, Any]
    entries: Sequence[Any]
    index: int
    organization: Mapping[str, Any]
    own_file: str | None
    own_text: str | None

    @property
    def file(self) -> str:
        """The file in which the organisation stands."""
        return self.own_file or self.stack_file

    @property
    def text(self) -> str:
        return self.stack_text if self.own_text is None else self.own_text

    @property
    def path(self) -> Path:
        """Where in that file."""
        return () if self.own_file else (*ORGANIZATIONS, self.index)

    @property
    def connections(self) -> list[dict[str, Any]]:
        found = self.organization.get("connections")
        return [c for c in found if isinstance(c, dict)] if isinstance(found, list) else []

    def connection(self, connection_id: str) -> dict[str, Any] | None:
        return next((c for c in self.connections if c.get("id") == connection_id), None)

    def position(self, connection_id: str) -> int:
        return next(n for n, c in enumerate(self.connections) if c.get("id") == connection_id)


async def find_source(
    repository: Repository,
    geography: GeographyName,
    portal_host: str,
    organization_id: str,
    revision: str | None = None,
) -> Source | Refusal:
    """At a commit, else at the branch's. Raises `RepositoryUnavailable`, `RepositoryRefused`."""
    revision = revision or await repository.head()
    stack = await _stack(repository, revision, geography, portal_host)
    if isinstance(stack, Refusal):
        return stack
    name, text, values = stack
    entries = values.get("organizations")
    if not isinstance(entries, list):
        return refusals.EDIT_UNREADABLE.because("organizations-missing")
    for index, entry in enumerate(entries):
        if isinstance(entry, dict) and entry.get("id") == organization_id:
            return Source(revision, name, text, values, entries, index, entry, None, None)
    own = await _own_file(repository, revision, entries, organization_id)
    if own is None or isinstance(own, Refusal):
        return own or refusals.EDIT_NOT_THERE
    index, file, own_text, organization = own
    return Source(revision, name, text, values, entries, index, organization, file, own_text)


async def every_text(repository: Repository, source: Source) -> dict[str, str]:
    """All files that the stack's check reads, by path."""
    files = [e for e in source.entries if isinstance(e, str) and fit.is_file_path(e)]
    texts = await _texts(repository, source.revision, files)
    return {**texts, source.stack_file: source.stack_text}


async def _stack(
    repository: Repository, revision: str, geography: GeographyName, portal_host: str
) -> tuple[str, str, dict[str, Any]] | Refusal:
    names = [p for p in await repository.paths("", revision) if p.startswith("Pulumi.") and p.endswith(".yaml")]
    unreadable = False
    texts = await _texts(repository, revision, [n for n in names if n != "Pulumi.yaml"])
    for name, text in texts.items():
        reading = read_yaml(text, is_ours)
        config = reading.value.get("config") if isinstance(reading.value, dict) else None
        prefix = f"{PROJECT}:"
        values = {str(k).removeprefix(prefix): v for k, v in config.items()} if isinstance(config, dict) else {}
        geographies = values.get("geographies")
        here = geographies.get(str(geography)) if isinstance(geographies, dict) else None
        if values.get("stage") == "test" and isinstance(here, dict) and here.get("portalHost") == portal_host:
            known = {k: v for k, v in values.items() if ":" not in k}
            return refusals.EDIT_UNREADABLE.because("stack-file") if reading.findings else (name, text, known)
        unreadable |= not reading.readable
    return refusals.EDIT_UNREADABLE.because("stack-file") if unreadable else refusals.EDIT_NO_STACK


async def _own_file(
    repository: Repository, revision: str, entries: Sequence[Any], organization_id: str
) -> tuple[int, str, str, dict[str, Any]] | Refusal | None:
    """The organisation's own file; the one that is called like it is looked at first."""
    files = [(i, e) for i, e in enumerate(entries) if isinstance(e, str) and fit.is_file_path(e)]
    likely = [f for f in files if f[1].rpartition("/")[2] == f"{organization_id}.yaml"]
    for batch in (likely, [f for f in files if f not in likely]):
        texts = await _texts(repository, revision, [name for _, name in batch])
        for index, name in batch:
            reading = read_yaml(texts.get(name, ""))
            if isinstance(reading.value, dict) and reading.value.get("id") == organization_id:
                if reading.findings:
                    return refusals.EDIT_UNREADABLE.because("organization-file")
                return index, name, texts[name], reading.value
    return None


async def _texts(repository: Repository, revision: str, names: Sequence[str]) -> dict[str, str]:
    """Files as text; what is not there, or no UTF-8, is left out."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def read(name: str) -> tuple[str, str] | None:
        async with limit:
            try:
                content = await repository.read(name, revision)
                return None if content is None else (name, content.decode("utf-8"))
            except (RepositoryRefused, UnicodeDecodeError):
                return None

    return dict(found for found in await asyncio.gather(*map(read, names)) if found)
