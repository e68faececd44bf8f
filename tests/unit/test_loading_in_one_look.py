"""A stack that the strict model takes in one look is one in which neither schema nor model finds anything."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (Values of YAML are of any type.)

import copy
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from schemas import fit
from schemas.json_schema import organization_validator, stack_validator
from schemas.stack_config import PROJECT
from schemas.strict_yaml import Unclear
from tests.support.samples import stack_files, text

OTHER = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 3.0, 1.5, 2**60, "", " ", "true", "false", "1", "null", "none", "a", "a" * 400),
        *([], {}, [None], [[]], {"a": None}, {"method": "none"}, ["a"], {"": ""}),
    ]
)


@cache
def values(file: str) -> dict[str, Any]:
    """What is under our keys, with every organisation in its place."""
    yaml = YAML(typ="safe", pure=True)
    config = yaml.load(text(file))["config"]
    data = {key.partition(":")[2]: value for key, value in config.items() if key.startswith(f"{PROJECT}:")}
    data["organizations"] = [yaml.load(text(o)) if isinstance(o, str) else o for o in data["organizations"]]
    return data


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, item in below for p in places(item, (*path, key)))]


def misfits(data: dict[str, Any]) -> list[fit.Misfit]:
    organizations = data["organizations"] if isinstance(data.get("organizations"), list) else []
    return [
        *fit.shape(stack_validator(), data, ()),
        *(m for i, o in enumerate(organizations) for m in fit.shape(organization_validator(), o, ("organizations", i))),
        *fit.meaning(data),
    ]


@settings(max_examples=700)
@given(st.data())
def test_whatever_fits_in_one_look_has_no_misfit_and_is_the_same_stack(drawn: st.DataObject) -> None:
    data = copy.deepcopy(values(drawn.draw(st.sampled_from(stack_files()))))
    *above, last = drawn.draw(st.sampled_from([p for p in places(data) if p]))
    holder: Any = data
    for key in above:
        holder = holder[key]
    match drawn.draw(st.sampled_from(["other", "gone", "more"])):
        case "other":
            holder[last] = drawn.draw(OTHER)
        case "gone":
            del holder[last]
        case _ if isinstance(holder, dict):
            holder[drawn.draw(st.sampled_from(["other", "fhir_base_url", "displayName", str(last).upper()]))] = "a"
        case _:
            holder.append(drawn.draw(OTHER))
    found = fit.fitting_stack(data)
    if found is not None:
        assert misfits(data) == []
        assert found == fit.parse_stack(data)


@pytest.mark.parametrize("file", stack_files())
def test_the_samples_fit_in_one_look(file: str) -> None:
    found = fit.fitting_stack(values(file))
    assert found is not None
    assert found == fit.parse_stack(values(file))


@pytest.mark.parametrize("value", [None, Unclear("number", "0012"), "true", 1, {"a": object()}])
def test_what_is_no_plain_value_of_its_kind_does_not_fit(value: Any) -> None:
    data = copy.deepcopy(values("Pulumi.local.yaml"))
    data["organizations"][0]["onePerson"] = value
    assert fit.fitting_stack(data) is None
