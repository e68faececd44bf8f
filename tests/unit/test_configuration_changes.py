"""Any change of any field withdraws exactly the connections that it concerns; how a file is written changes nothing.

The fields are those of the published JSON Schema, so a field that is added is tested without a new row.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (ruamel.yaml is typed in parts.)
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core import to_json
from ruamel.yaml import YAML

from schemas.promotion.decide import Approved
from schemas.promotion.reasons import Code
from schemas.stack_config import EhrConnection, Organization, StackConfig
from schemas.vocabulary import GeographyName, Stage
from tests.support.accepted import ORGANIZATION, TEST, World, accepted, approval_of, connection_of, organization_of
from tests.support.fields import changed, fields, values
from tests.support.samples import load, text
from tests.support.statements import ROOT

W = accepted()
CONCERN_ALL = {"id", "geography", "tenantId"}
CONCERN_NONE = {"name", "onePerson"}
"""Of the organisation itself; fields of `administrators` are neither (`same-person-differs` has its own tests)."""

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Not smaller: the field says enough, and each step decides a whole stack."""
FEW = settings(max_examples=4, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])

UNSET = object()


def in_words(stack: StackConfig, organization: str) -> dict[str, Any]:
    return organization_of(stack, organization).model_dump(mode="json", by_alias=True, exclude_none=True)


def withdrawn(before: World, after: World) -> set[str]:
    """Which connections of the test stage were approved and are not, by their id from before."""
    approved = {c for c, d in before.decided(Stage.TEST).items() if isinstance(d, Approved)}
    return approved - {c for c, d in after.decided(Stage.TEST).items() if isinstance(d, Approved)}


def edited(world: World, to: Organization) -> World:
    changed = tuple(to if o.id == ORGANIZATION else o for o in world.test.organizations)
    return replace(world, test=world.test.model_copy(update={"organizations": changed}))


def two_tests() -> World:
    """The organisation has two test connections, both approved."""
    organization = organization_of(W.test, ORGANIZATION)
    first = connection_of(W.test, TEST)
    url = first.fhir_base_url.replace("-tst", "-second")
    second = first.model_copy(update={"id": "lakeside-second", "fhir_base_url": url})
    world = W.organized(Stage.TEST, ORGANIZATION, connections=(first, second, *organization.connections[1:]))
    return world.having(approval_of(world, second.id))


TWO = two_tests()
WORDS = in_words(TWO.test, ORGANIZATION)


def value_of(field: str) -> Any:
    place: Any = WORDS
    for name in field.replace("[]", "").split("."):
        place = place.get(name, UNSET) if place is not UNSET else UNSET
        place = (
            place[0]
            if isinstance(place, list) and "[]" in field and name in ("connections", "administrators")
            else place
        )
    return place


FOUND_ELSEWHERE = frozenset(
    f"connections[].{name}" for name in ("id", "stage", "fhirBaseUrl", "approver.tenantId", "approver.objectId")
)
"""Fields whose change another rule finds, alone or too."""


def of_its_rule(field: str) -> Any:
    return pytest.param(field, marks=[] if field in FOUND_ELSEWHERE else [pytest.mark.rule(Code.CONFIGURATION_CHANGED)])


@pytest.mark.parametrize("field", [of_its_rule(f) for f in fields() if f.startswith("connections[]")])
@given(data=st.data())
@FEW
def test_a_change_of_a_connections_field_withdraws_that_connection(field: str, data: st.DataObject) -> None:
    value = data.draw(values(field).filter(lambda v: v != value_of(field)))
    organization = changed(WORDS, 0, field, value)
    assume(organization is not None and organization != organization_of(TWO.test, ORGANIZATION))
    assert organization is not None
    assert withdrawn(TWO, edited(TWO, organization)) == {TEST}


@pytest.mark.parametrize("field", [f for f in fields() if "[]" not in f])
@given(data=st.data())
@FEW
def test_a_change_of_an_organisations_field_withdraws_all_its_connections_or_none(
    field: str, data: st.DataObject
) -> None:
    value = data.draw(values(field).filter(lambda v: v != value_of(field)))
    organization = changed(WORDS, 0, field, value)
    assert organization is not None
    expected = {TEST, "lakeside-second"} if field in CONCERN_ALL else set[str]()
    assert field in CONCERN_ALL | CONCERN_NONE
    assert withdrawn(TWO, edited(TWO, organization)) == expected


@pytest.mark.parametrize("field", [f for f in fields() if f.startswith("administrators[]")])
@given(data=st.data())
@FEW
def test_a_change_of_administrators_withdraws_nothing(field: str, data: st.DataObject) -> None:
    organization = changed(WORDS, 0, field, data.draw(values(field)))
    assert organization is not None
    approver = connection_of(TWO.test, TEST).approver
    assume(approver.object_id not in {a.object_id for a in organization.administrators})
    assert withdrawn(TWO, edited(TWO, organization)) == set()


@pytest.mark.rule(Code.CONFIGURATION_CHANGED)
@pytest.mark.parametrize("geography", list(W.test.geographies))
def test_a_change_of_a_public_host_withdraws_the_geographys_connections(geography: GeographyName) -> None:
    config = W.test.geographies[geography]
    hosts = config.public_hosts.model_copy(update={"test": "visits.example.org"})
    geographies = {**W.test.geographies, geography: config.model_copy(update={"public_hosts": hosts})}
    after = replace(W, test=W.test.model_copy(update={"geographies": geographies}))
    at_home = {c.id for o in W.test.organizations if o.geography is geography for c in o.connections}
    assert withdrawn(W, after) == at_home & set(W.decided(Stage.TEST))


# --- how a file is written ------------------------------------------------------------------------------------------

STACK, FILE = "Pulumi.local.yaml", "organizations/local/prairie.yaml"


def written(value: Any, draw: Callable[[st.SearchStrategy[Any]], Any], indent: int = 0) -> str:
    """A value as YAML: keys in any order, comments anywhere, scalars in any quotes that mean the same."""
    pad = "  " * indent
    comment = draw(st.sampled_from(["", "  # as agreed", f"\n{pad}# see the ticket"]))
    if isinstance(value, dict) and value:
        keys = draw(st.permutations(list(value)))
        return comment + "".join(f"\n{pad}{_key(k, draw)}:{written(value[k], draw, indent + 1)}" for k in keys)
    if isinstance(value, list) and value and draw(st.booleans()):
        return comment + "".join(f"\n{pad}-{written(v, draw, indent + 1)}" for v in value)
    if isinstance(value, str):
        return " " + draw(
            st.sampled_from([json.dumps(value, ensure_ascii=False), f"'{value.replace(chr(39), chr(39) * 2)}'"])
        )
    return " " + json.dumps(value, ensure_ascii=False)


def _key(key: str, draw: Callable[[st.SearchStrategy[Any]], Any]) -> str:
    return draw(st.sampled_from([key, json.dumps(key), f"'{key}'"]))


@given(data=st.data())
@settings(max_examples=8, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_order_comments_and_quotes_change_no_digest(data: st.DataObject) -> None:
    plain = YAML(typ="safe", pure=True)
    stack = plain.load(text(STACK))
    stack["encryptionsalt"] = data.draw(st.sampled_from(["v1:x", "v1:another="]))
    changes = {
        STACK: written(stack, data.draw).lstrip("\n"),
        FILE: data.draw(st.sampled_from(["", "---\n", "# ours\n"]))
        + written(plain.load(text(FILE)), data.draw).lstrip("\n"),
    }
    loaded = load(STACK, changes)
    assert loaded.errors == ()
    assert loaded.stack == W.test


def test_a_file_in_one_line_says_the_same() -> None:
    plain = YAML(typ="safe", pure=True)
    assert load(STACK, {f: json.dumps(plain.load(text(f))) for f in (STACK, FILE)}).stack == W.test


# --- defaults -------------------------------------------------------------------------------------------------------

DEFAULTS = ROOT / "tests" / "corpus" / "defaults.txt"


def defaults() -> list[str]:
    """Each default of a connection, which the canonical form leaves out."""
    found: dict[str, None] = {}
    waiting: list[type[BaseModel]] = [EhrConnection]
    seen: set[type[BaseModel]] = set()
    while waiting:
        model = waiting.pop()
        if model in seen:
            continue
        seen.add(model)
        for name, field in model.model_fields.items():
            waiting += [m for m in _inside(field.annotation) if m not in seen]
            if not field.is_required():
                default = to_json(field.get_default()).decode()
                found[f"{model.__name__}.{field.alias or name} = {default}"] = None
    return sorted(found)


def _inside(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in get_args(annotation) for m in _inside(a)]


def test_a_default_never_changes() -> None:
    """A line may be added, with the field; none may change or go: old digests would mean something else."""
    assert DEFAULTS.read_text("utf-8").splitlines() == defaults()
