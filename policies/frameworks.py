"""Which controls of which framework each policy serves: HIPAA Security Rule, HITRUST CSF, Microsoft's benchmark.

Owns reading `frameworks.json`, where each framework has its source, and each policy an entry for each framework: ids of
controls, or the reason why there is none. A mapping helps who must show compliance; it does not make anybody compliant.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, model_validator

FILE = Path(__file__).with_name("frameworks.json")


class Framework(BaseModel):
    """A framework: where it is published, and the titles of the controls that are used here, by id."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    source: str
    url: str
    controls: Mapping[str, str]


class Frameworks(BaseModel):
    """All frameworks by short name, and of each policy the controls, or why there are none, by framework."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frameworks: Mapping[str, Framework]
    policies: Mapping[str, Mapping[str, tuple[str, ...] | str]]

    @model_validator(mode="after")
    def _names_known_controls(self) -> "Frameworks":
        for policy, entries in self.policies.items():
            if set(entries) != set(self.frameworks):
                raise ValueError(f"{policy}: expected an entry for each of {', '.join(self.frameworks)}")
            for name, entry in entries.items():
                unknown = set(() if isinstance(entry, str) else entry) - set(self.frameworks[name].controls)
                if unknown or not entry:
                    raise ValueError(f"{policy}: {name}: expected known controls or a reason, got {sorted(unknown)}")
        return self

    def controls_of(self, policy: str) -> dict[str, tuple[str, ...]]:
        """The ids of the controls that a policy serves, by framework; a framework without one is left out."""
        entries = self.policies.get(policy, {})
        return {name: entry for name, entry in entries.items() if not isinstance(entry, str)}


@cache
def frameworks() -> Frameworks:
    """What the file says. Raises `pydantic.ValidationError` where it is not whole."""
    return Frameworks.model_validate_json(FILE.read_bytes())
