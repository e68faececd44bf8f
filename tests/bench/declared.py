"""The resources that the program emits, written as a flat program: one azure-native call each, and no component.

Owns the way from what a program registered under mocks to the source of one that declares the same resources: what a
resource took of another one (its id, its name, its principal) it takes again, so the engine sees the same graph.
"""

# pyright: reportUnknownVariableType=false
# (What a resource is given may be any JSON.)

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi_azure_native

from tests.support.program import Emitted

PROVIDER = "pulumi:providers:azure-native"
TAKEN = {"id": "id", "name": "name", "principalId": "principal_id", "clientId": "client_id"}
"""Answers of Azure that other resources are given, and what they are called in a program."""
HEAD = "import pulumi\nimport pulumi_azure_native as az\n"


@dataclass
class _Declaring:
    variables: dict[str, str] = field(default_factory=dict[str, str])
    """Of each resource so far, by URN."""
    taken: dict[str, str] = field(default_factory=dict[str, str])
    """The expression that gives a text which only Azure knows."""
    urns: dict[str, str] = field(default_factory=dict[str, str])
    """Whose it is, by expression."""
    names: dict[str, str] = field(default_factory=dict[str, str])
    """Of each resource so far, by URN: also one that it was given, which others take from it all the same."""

    def line(self, resource: Emitted) -> str:
        variable = f"r{len(self.variables)}"
        used: set[str] = set()
        inputs = {
            k: self._source(v, self._known(resource, k), used)
            for k, v in resource.inputs.items()
            if not k.startswith("__")
        }
        arguments = _arguments(resource.type, inputs)
        given = ", ".join(f"{k}={v}" for k, v in self._options(resource, used).items())
        options = f"opts=pulumi.ResourceOptions({given})"
        self.variables[resource.urn] = variable
        self._take(resource, variable)
        return f"{variable} = {_class(resource.type)}({resource.name!r}, {arguments}{options})"

    def _options(self, resource: Emitted, used: set[str]) -> dict[str, str]:
        options: dict[str, str] = {}
        if resource.provider:
            options["provider"] = self.variables[resource.provider.rpartition("::")[0]]
        if waits := [v for urn, v in self.variables.items() if urn in resource.depends_on - used]:
            options["depends_on"] = f"[{', '.join(waits)}]"
        options |= {
            name: "True"
            for name, given in (("protect", resource.protect), ("retain_on_delete", resource.retain_on_delete))
            if given
        }
        return options

    def _known(self, resource: Emitted, property_: str) -> Mapping[str, str]:
        """What this property may take, as expressions by text."""
        owners = [urn for urn in resource.made_from.get(property_, ()) if urn in self.names]
        return self.taken | {self.names[urn]: f"{self.variables[urn]}.name" for urn in owners}

    def _take(self, resource: Emitted, variable: str) -> None:
        if isinstance(name := resource.outputs.get("name"), str):
            self.names[resource.urn] = name
            self.urns[f"{variable}.name"] = resource.urn
        given = set(_texts(resource.inputs))
        for answer, called in TAKEN.items():
            value = resource.id if answer == "id" else resource.outputs.get(answer)
            if isinstance(value, str) and value and value not in given and resource.type != PROVIDER:
                self.taken[value] = f"{variable}.{called}"
                self.urns[f"{variable}.{called}"] = resource.urn

    def _source(self, value: Any, taken: Mapping[str, str], used: set[str]) -> str:
        match value:
            case str():
                return self._text(value, taken, used)
            case dict():
                return f"{{{', '.join(f'{k!r}: {self._source(v, taken, used)}' for k, v in value.items())}}}"
            case list():
                return f"[{', '.join(self._source(v, taken, used) for v in value)}]"
            case _:
                return repr(int(value) if isinstance(value, float) and value.is_integer() else value)

    def _text(self, text: str, taken: Mapping[str, str], used: set[str]) -> str:
        known = sorted((t for t in taken if t in text), key=len, reverse=True)
        if not known:
            return repr(text)
        parts = [p for p in re.split(f"({'|'.join(map(re.escape, known))})", text) if p]
        used |= {self.urns[taken[p]] for p in parts if p in taken}
        sources = [taken.get(p, repr(p)) for p in parts]
        return sources[0] if len(sources) == 1 else f"pulumi.Output.concat({', '.join(sources)})"


def flat_program(resources: Iterable[Emitted]) -> str:
    """The source of it."""
    declaring = _Declaring()
    return HEAD + "\n".join(declaring.line(r) for r in resources if r.custom) + "\n"


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _class(type_: str) -> str:
    return "az.Provider" if type_ == PROVIDER else f"az.{type_.split(':', 1)[1].replace('/', '.').replace(':', '.')}"


def _arguments(type_: str, inputs: Mapping[str, str]) -> str:
    """Keywords as the class spells them."""
    found: Any = pulumi_azure_native
    for part in _class(type_).split(".")[1:]:
        found = getattr(found, part)
    keywords = {k.replace("_", "").lower(): k for k in inspect.signature(found._internal_init).parameters}
    return "".join(f"{keywords[name.lower()]}={source}, " for name, source in inputs.items())
