"""How a policy is written and how it sees a resource: property bags with unknowns, and the stack's settings.

Owns the way from a function that yields violations to a CrossGuard policy. During a preview a property can be unknown;
`known` answers None for it, and the same policy judges again, with values, before the update creates the resource.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import pulumi
from pulumi_policy import ReportViolation, ResourceValidationArgs, ResourceValidationPolicy
from pulumi_policy.proxy import UnknownValueError

from schemas.stack_config import PROJECT
from schemas.vocabulary import Cloud

AZURE = "azure-native:"


class StackSettings:
    """What a policy needs of the stack's configuration, as the engine handed it over."""

    @cached_property
    def cloud(self) -> Cloud:
        """Azure, unless the configuration says otherwise: what is missing loosens nothing."""
        return Cloud.EMULATED if pulumi.Config(PROJECT).get("cloud") == Cloud.EMULATED else Cloud.AZURE

    @cached_property
    def stage(self) -> str | None:
        return pulumi.Config(PROJECT).get("stage")

    @cached_property
    def allowed_regions(self) -> dict[str, frozenset[str]]:
        """Allowed regions by configured geography."""
        text = pulumi.Config(PROJECT).get("geographies") or "{}"
        geographies = cast("dict[str, dict[str, Any]]", json.loads(text))
        return {name: frozenset(g.get("allowedRegions", ())) for name, g in geographies.items()}


@dataclass(frozen=True)
class Subject:
    """The resource being judged; `type` without the provider's prefix."""

    type: str
    properties: Mapping[str, Any]
    settings: StackSettings

    def get(self, *path: str) -> Any:
        """A property by its path; None where it is absent, unknown, or inside something that is."""
        return known(self.properties, *path)

    def waits_for(self, *path: str) -> bool:
        """Whether a property is there, but only Azure knows it yet."""
        bag = self.get(*path[:-1]) if len(path) > 1 else self.properties
        return isinstance(bag, Mapping) and is_unknown(cast("Mapping[str, Any]", bag), path[-1])

    def items(self, *path: str) -> Iterator[Mapping[str, Any]]:
        """The objects of a list property."""
        return each(self.get(*path))


Judge = Callable[[Subject], Iterator[str]]


def policy(name: str, description: str, judge: Judge) -> ResourceValidationPolicy:
    """A policy over every resource of azure-native; each value that `judge` yields is one violation."""

    def validate(args: ResourceValidationArgs, report_violation: ReportViolation) -> None:
        if not args.resource_type.startswith(AZURE):
            return
        subject = Subject(args.resource_type.removeprefix(AZURE), args.props, StackSettings())
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
