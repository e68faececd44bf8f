"""Which types the program emits, with which API versions and under which names: none changes silently."""

import importlib
import inspect
import json
import re

import pytest

from tests.support.program import sample
from tests.support.samples import ROOT
from tests.support.urns import ADVICE, committed_urns, emitted_urns, urn_of

COMMITTED: dict[str, str] = json.loads((ROOT / "components" / "emitted_types.json").read_text())
API_VERSION = re.compile(r"Uses Azure REST API version ([0-9a-z-]+?)\.(?:\s|$)")


def api_version(token: str) -> str:
    """The API version that the installed SDK documents for a type."""
    _, module, name = token.split(":")
    resource = getattr(importlib.import_module(f"pulumi_azure_native.{module}"), name)
    found = API_VERSION.search(inspect.getsource(resource))
    assert found, f"{token} documents no API version"
    return found[1]


@pytest.mark.parametrize("stack", ["local", "local-prod", "test", "prod"])
def test_the_program_emits_exactly_the_committed_types(stack: str) -> None:
    emitted = {r.type for r in sample(stack).resources if r.type.startswith("azure-native:")}
    assert emitted == set(COMMITTED)


def test_the_sdk_uses_the_committed_api_versions() -> None:
    assert {token: api_version(token) for token in COMMITTED} == COMMITTED


def test_no_resource_changes_its_urn() -> None:
    now, before = emitted_urns(), committed_urns()
    assert now == before, f"{ADVICE}\ngone: {sorted(before - now)}\nnew: {sorted(now - before)}"


def test_geographies_differ_in_nothing_but_their_name() -> None:
    def urns(geography: str) -> set[str]:
        mine = [r for r in sample("local").resources if r.name.startswith(geography)]
        return {urn_of(r).replace(geography, "GEOGRAPHY") for r in mine}

    assert urns("americas") == urns("emea") == urns("apac")
