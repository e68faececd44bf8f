"""The software bill of materials of the image, as CycloneDX: `make sbom`.

Read from what the image is built from: the lock, the bases of the Containerfile, our own files. Owns which packages of
the lock are in the image (their markers, on its platform), and what depends on what (the lock's notes). Deterministic:
the same files and time give the same bytes. What the base contains is its publisher's to list; a scan of the built
image finds it (`.github/workflows/image.yml`).
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (cyclonedx-python-lib's classes are made by a decorator that hides their parameters.)

import argparse
import os
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement

from emulators.azure.images import Images
from schemas.image import image_digest

LOCK, CONTAINERFILE = "requirements/runtime.txt", "Containerfile"
FROM = re.compile(
    r"^FROM (?P<name>[\w./-]+):(?P<tag>[\w.-]+)@sha256:(?P<digest>[0-9a-f]{64})(?: AS \w+)?$", re.MULTILINE
)
NAMESPACE = uuid.UUID("0f6c1c5e-5d2a-4f0e-9a51-0d5a3b6f7c11")
"""Of serial numbers: they are made from the content."""


@dataclass(frozen=True)
class Base:
    """An image by digest, as FROM names it."""

    name: str
    tag: str
    digest: str


@dataclass(frozen=True)
class Locked:
    """One package of the lock; `needed_by` are other packages, or the project itself."""

    name: str
    version: str
    sha256: tuple[str, ...]
    needed_by: frozenset[str]


def bases(containerfile: str) -> list[Base]:
    """Every base, in order; the last one is the image's. Raises ValueError where one is not by tag and digest."""
    found = [Base(**m.groupdict()) for m in FROM.finditer(containerfile)]
    if len(found) != len(re.findall(r"^FROM ", containerfile, re.MULTILINE)):
        raise ValueError(f"{CONTAINERFILE}: expected each FROM as name:tag@sha256:<64 hex digits>, got another form")
    return found


def platform(python: str) -> dict[str, str]:
    """The image's markers (PEP 508): Container Apps runs linux/amd64."""
    return {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": python,
        "python_version": ".".join(python.split(".")[:2]),
        "sys_platform": "linux",
    }


def locked(lock: str, project: str, markers: Mapping[str, str]) -> Iterator[Locked]:
    """The packages of a lock that `uv pip compile --generate-hashes` wrote, where their markers hold."""
    for block in re.findall(r"^[^\s#].*(?:\n\s+.*)*", lock, re.MULTILINE):
        head, *notes = re.split(r"\\\n|\n", block)
        requirement = Requirement(head.strip())
        if requirement.marker is not None and not requirement.marker.evaluate(dict(markers)):
            continue
        (version,) = (s.version for s in requirement.specifier if s.operator == "==")
        via = (re.sub(r"^\s*#(?:\s+via\b)?\s*", "", line) for line in notes if line.lstrip().startswith("#"))
        needed_by = {project if name.startswith(f"{project} (") else name for name in via if name[:2] not in ("", "-c")}
        yield Locked(
            requirement.name, version, tuple(re.findall(r"sha256:([0-9a-f]{64})", block)), frozenset(needed_by)
        )


def bill(root: Path, made_at: datetime) -> Bom:
    """The image's bill; `root` is the project's folder. Raises ValueError, OSError."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    builder, base = bases((root / CONTAINERFILE).read_text("utf-8"))
    lock = (root / LOCK).read_text("utf-8")
    digest = image_digest(Images(root / ".local", root).files())
    name = str(project["name"])

    bom = Bom(serial_number=uuid.uuid5(NAMESPACE, f"{digest} {base.digest} {made_at.isoformat()}"))
    bom.metadata.timestamp = made_at
    ours = Component(
        name=name,
        version=str(project["version"]),
        type=ComponentType.APPLICATION,
        bom_ref=name,
        description=str(project["description"]),
        properties=[Property(name=f"{name}:files:sha256", value=digest)],
    )
    bom.metadata.component = ours
    packages = list(locked(lock, name, platform(builder.tag.split("-")[0])))
    components = {package.name: _library(package) for package in packages}
    container = _container(base)
    bom.components.update([container, *components.values()])
    for needed_by, component in {name: ours, **components}.items():
        bom.register_dependency(component, [components[p.name] for p in packages if needed_by in p.needed_by])
    bom.register_dependency(ours, [container])
    return bom


def _library(package: Locked) -> Component:
    """With the digest of every file that the lock accepts: one of them was installed."""
    purl = PackageURL("pypi", name=package.name, version=package.version)
    return Component(
        name=package.name,
        version=package.version,
        bom_ref=str(purl),
        purl=purl,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in package.sha256],
    )


def _container(base: Base) -> Component:
    purl = PackageURL(
        "oci",
        name=base.name.rpartition("/")[2],
        version=f"sha256:{base.digest}",
        qualifiers={"repository_url": base.name, "tag": base.tag},
    )
    return Component(
        name=base.name,
        version=base.tag,
        type=ComponentType.CONTAINER,
        bom_ref=str(purl),
        purl=purl,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=base.digest)],
    )


def text(bom: Bom) -> str:
    """As CycloneDX 1.6 JSON."""
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make sbom", description="Writes the image's bill of materials.")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    made_at = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(text(bill(Path.cwd(), made_at)), "utf-8")
    print(arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
