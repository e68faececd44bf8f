"""The Containerfile and what it brings in, read without building it. Strict: a form that is not known is an error."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportArgumentType=false
# (dockerfile-parse and docker have no types.)

import io
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docker.utils.build import exclude_paths
from dockerfile_parse import DockerfileParser

from tests.support.samples import ROOT

CONTAINERFILE = (ROOT / "Containerfile").read_text("utf-8")
IGNORED = (ROOT / ".dockerignore").read_text("utf-8")


@dataclass(frozen=True)
class Instruction:
    name: str
    value: str

    @property
    def exec_form(self) -> list[str]:
        """The arguments of an instruction that needs no shell. Raises ValueError."""
        return list(json.loads(self.value))


def instructions(text: str = CONTAINERFILE) -> list[Instruction]:
    parsed = DockerfileParser(fileobj=io.BytesIO(text.encode())).structure
    return [Instruction(p["instruction"], p["value"]) for p in parsed if p["instruction"] != "COMMENT"]


def stages(text: str = CONTAINERFILE) -> list[list[Instruction]]:
    """The instructions of each stage, FROM first."""
    found: list[list[Instruction]] = []
    for instruction in instructions(text):
        if instruction.name == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


def environment(text: str = CONTAINERFILE) -> dict[str, str]:
    """ENV of the image."""
    return dict(pair.split("=", 1) for i in stages(text)[-1] if i.name == "ENV" for pair in shlex.split(i.value))


def labels(text: str = CONTAINERFILE) -> dict[str, str]:
    return dict(pair.split("=", 1) for i in stages(text)[-1] if i.name == "LABEL" for pair in shlex.split(i.value))


def copied(text: str = CONTAINERFILE) -> Iterator[str]:
    """What each COPY takes from the context; it lands under its own path. Raises ValueError."""
    for instruction in instructions(text):
        if instruction.name == "ADD":
            raise ValueError("ADD: expected COPY")
        if instruction.name != "COPY" or instruction.value.startswith("--from="):
            continue
        source, target = instruction.value.split()
        if source != target or not set(source) <= set("abcdefghijklmnopqrstuvwxyz./"):
            raise ValueError(f"COPY {instruction.value}: expected one path, to the same path")
        yield source


def context(tree: Path, ignored: str = IGNORED) -> set[str]:
    """The files that a build gets to see: Docker's own reading of .dockerignore."""
    patterns = [line for line in ignored.splitlines() if line and not line.startswith("#")]
    return {path for path in exclude_paths(str(tree), patterns) if (tree / path).is_file()}


def brought_in(tree: Path, text: str = CONTAINERFILE, ignored: str = IGNORED) -> set[str]:
    """The files of the context that the COPY instructions take. Raises ValueError."""
    seen = context(tree, ignored)
    found: set[str] = set()
    for source in copied(text):
        here = {path for path in seen if source == "." or path == source or path.startswith(f"{source}/")}
        if not here:
            raise ValueError(f"COPY {source}: the context has no such file")
        found |= here
    return found
