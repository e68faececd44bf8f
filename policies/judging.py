"""How a policy is written and how it sees a resource: property bags with unknowns, and the stack's settings.

Owns the way from a function that yields violations to a CrossGuard policy. During a preview a property can be unknown;
`known` answers None for it, and the same policy judges again, with values, before the update creates the resource.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from pulumi_policy import ReportViolation, ResourceValidationArgs, ResourceValidationPolicy
from pulumi_policy.proxy import UnknownValueError

from schemas.stack_config import PROJECT
from schemas.strict_yaml import read_yaml
from schemas.vocabulary import Cloud, Stage

AZURE = "azure-native:"


@dataclass(frozen=True)
class StackSettings:
    """What a policy needs of the stack's configuration. What is missing loosens nothing: cloud is then azure."""

    cloud: Cloud
    stage: str | None
    allowed_regions: Mapping[str, frozenset[str]]
    """By configured geography."""
    groups: frozenset[str]
    """Object ids of the revokers and the auditors, in lower case."""

    @property
    def production(self) -> bool:
        """Whatever is not said to be test."""
        return self.stage != Stage.TEST

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "StackSettings":
        def ours(key: str) -> Any:
            return config.get(f"{PROJECT}:{key}")

        geographies = cast("Mapping[str, Mapping[str, Any]]", ours("geographies") or {})
        promotion = cast("Mapping[str, Any]", ours("promotion") or {})
        return cls(
            cloud=Cloud.EMULATED if ours("cloud") == Cloud.EMULATED else Cloud.AZURE,
            stage=ours("stage"),
            allowed_regions={name: frozenset(g.get("allowedRegions", ())) for name, g in geographies.items()},
            groups=frozenset(str(promotion[g]).lower() for g in ("revokers", "auditors") if promotion.get(g)),
        )


@cache
def settings_of(stack: str, project: Path) -> StackSettings:
    """The settings in `Pulumi.<stack>.yaml`.

    The file, not the engine's values, which the SDK gives to programs only; the program refuses where they differ.
    """
    document = read_yaml((project / f"Pulumi.{stack}.yaml").read_text("utf-8")).value
    config = cast("Mapping[str, Any]", document).get("config") if isinstance(document, Mapping) else None
    return StackSettings.of(cast("Mapping[str, Any]", config) if isinstance(config, Mapping) else {})


@dataclass(frozen=True)
class Subject:
    """The resource being judged; `type` without the provider's prefix."""

    type: str
    properties: Mapping[str, Any]
    settings: StackSettings
    protected: bool = False
    """Whether Pulumi keeps it whatever the program says (`protect`)."""

    def get(self, *path: str) -> Any:
        """A property by its path; None where it is absent, unknown, or inside something that is."""
        return known(self.properties, *path)

    def waits_for(self, *path: str) -> bool:
        """Whether a property is there, but only Azure knows it yet."""
        *above, key = path
        bag = self.get(*above)
        return isinstance(bag, Mapping) and is_unknown(cast("Mapping[str, Any]", bag), key)

    def items(self, *path: str) -> Iterator[Mapping[str, Any]]:
        """The objects of a list property."""
        return each(self.get(*path))


Judge = Callable[[Subject], Iterator[str]]


def policy(name: str, description: str, judge: Judge) -> ResourceValidationPolicy:
    """A policy over every resource of azure-native; each value that `judge` yields is one violation."""

    def validate(args: ResourceValidationArgs, report_violation: ReportViolation) -> None:
        if not args.resource_type.startswith(AZURE):
            return
        stack = args.urn.split(":", 3)[2]
        settings = settings_of(stack, Path.cwd())
        subject = Subject(args.resource_type.removeprefix(AZURE), args.props, settings, args.opts.protect)
        for violation in judge(subject):
            report_violation(violation, args.urn)

    return ResourceValidationPolicy(name, description, validate)


def known(value: Any, *path: str) -> Any:
    """What is at a path below a property bag, or None."""
    for key in path:
        if not isinstance(value, Mapping):
            return None
        bag = cast("Mapping[str, Any]", value)
        if key not in set(bag):
            return None
        try:
            value = bag[key]
        except UnknownValueError:
            return None
    return value


def is_unknown(bag: Mapping[str, Any], key: str) -> bool:
    """Whether a property is there, but only Azure knows it yet."""
    try:
        _ = bag.get(key)
    except UnknownValueError:
        return True
    return False


def each(value: Any) -> Iterator[Mapping[str, Any]]:
    """The known objects of a list."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return
    items = cast("Sequence[Any]", value)
    for index in range(len(items)):
        try:
            item = items[index]
        except UnknownValueError:
            continue
        if isinstance(item, Mapping):
            yield cast("Mapping[str, Any]", item)
