"""A policy asked about a resource, as the engine's analyzer asks: properties behind the proxy that refuses unknowns."""

from collections.abc import Mapping
from contextlib import chdir
from copy import deepcopy
from typing import Any, cast

from pulumi_policy import PolicyCustomTimeouts, PolicyResourceOptions, ResourceValidationArgs, ResourceValidationPolicy
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from schemas.stack_config import PROJECT
from tests.support.program import sample
from tests.support.samples import ROOT

UNKNOWN = UNKNOWN_STRING_VALUE


def options(*, protect: bool) -> PolicyResourceOptions:
    return PolicyResourceOptions(protect, [], None, [], PolicyCustomTimeouts(0, 0, 0), [])


OPTIONS = options(protect=False)


def emitted(stack: str, type_: str, name: str) -> dict[str, Any]:
    """The inputs of a resource of a sample stack, to be changed by a test."""
    return deepcopy(sample(stack).one(f"azure-native:{type_}", name=name).inputs)


def changed(properties: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The property at a dotted path (a number is an index) replaced; `...` removes it."""
    result = deepcopy(properties)
    *above, last = path.split(".")
    place: Any = result
    for key in above:
        place = place[int(key)] if key.isdigit() else place.setdefault(key, {})
    key = int(last) if last.isdigit() else last
    if value is ...:
        del place[key]
    else:
        place[key] = value
    return result


def variable(properties: dict[str, Any], name: str, value: str | None) -> dict[str, Any]:
    """A container app whose main container is told something else; None takes the variable away."""
    result = deepcopy(properties)
    container = result["template"]["containers"][0]
    others = [v for v in container["env"] if v["name"] != name]
    container["env"] = others if value is None else [*others, {"name": name, "value": value}]
    return result


def violations(
    policy: ResourceValidationPolicy,
    stack: str,
    type_: str,
    properties: Mapping[str, Any],
    *,
    protect: bool = False,
) -> list[str]:
    """What a policy reports of a resource of a sample stack."""
    found: list[str] = []
    props = cast("Mapping[str, Any]", unknown_checking_proxy(dict(properties)))
    urn = f"urn:pulumi:{stack}::{PROJECT}::azure-native:{type_}::name"
    args = ResourceValidationArgs(f"azure-native:{type_}", props, urn, "name", options(protect=protect), None)
    with chdir(ROOT):
        policy.validate(  # pyright: ignore[reportUnknownMemberType]
            args, lambda message, urn=None: found.append(message)
        )
    return found
