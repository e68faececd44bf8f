"""The check of a body against Azure's definitions: each kind of rule, on small definitions and on real ones."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from emulators.azure import names
from emulators.azure.arm import TYPES, Row
from emulators.azure.definitions.check import check
from emulators.azure.definitions.extract import extract, text_of
from emulators.azure.definitions.reading import Body, Definitions, NoDefinition, committed, supplement
from emulators.azure.definitions.shape import put_back
from emulators.azure.errors import AzureError

FILE = "widgets/contoso.widgets/2026-01-01"
REQUIRED, READ_ONLY = 1, 2


def ref(index: int) -> dict[str, str]:
    return {"$ref": f"#/{index}"}


def prop(index: int, flags: int = 0) -> dict[str, Any]:
    return {"type": ref(index), "flags": flags, "description": "left out"}


ENTRIES: list[dict[str, Any]] = [
    {"$type": "StringType", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 4},
    {"$type": "IntegerType", "minValue": 1, "maxValue": 9},
    {"$type": "BooleanType"},
    {"$type": "AnyType"},
    {"$type": "StringLiteralType", "value": "Red"},
    {"$type": "StringLiteralType", "value": "Blue"},
    {"$type": "UnionType", "elements": [ref(4), ref(5), ref(9)]},
    {"$type": "ArrayType", "itemType": ref(0), "minLength": 1, "maxLength": 2},
    {"$type": "ObjectType", "name": "Tags", "properties": {}, "additionalProperties": ref(9)},
    {"$type": "StringType"},
    {
        "$type": "DiscriminatedObjectType",
        "name": "Rule",
        "discriminator": "kind",
        "baseProperties": {"name": prop(9)},
        "elements": {"Static": ref(11), "Dynamic": ref(12)},
    },
    {"$type": "ObjectType", "name": "Static", "properties": {"kind": prop(4, REQUIRED), "limit": prop(1, REQUIRED)}},
    {"$type": "ObjectType", "name": "Dynamic", "properties": {"kind": prop(5, REQUIRED)}},
    {
        "$type": "ObjectType",
        "name": "WidgetProperties",
        "properties": {
            "word": prop(0, REQUIRED),
            "count": prop(1),
            "on": prop(2),
            "free": prop(3),
            "colour": prop(6),
            "words": prop(7),
            "rule": prop(10),
            "part": prop(15),
            "state": prop(16, READ_ONLY),
        },
    },
    {
        "$type": "ObjectType",
        "name": "Contoso.Widgets/widgets",
        "properties": {"name": prop(0, 9), "id": prop(9, 10), "tags": prop(8), "properties": prop(13, REQUIRED)},
    },
    {"$type": "ObjectType", "name": "Part", "properties": {"name": prop(9), "properties": prop(17)}},
    {"$type": "ObjectType", "name": "OnlyAnswered", "properties": {}},
    {"$type": "ObjectType", "name": "PartProperties", "properties": {"size": prop(1)}},
    {"$type": "ResourceType", "name": "Contoso.Widgets/widgets@2026-01-01", "body": ref(14)},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    file = tmp_path / FILE / "types.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(ENTRIES))
    return tmp_path


@pytest.fixture
def widget(folder: Path) -> Body:
    return extract(folder, {("Contoso.Widgets/widgets", "2026-01-01")}).body("contoso.widgets/Widgets", "2026-01-01")


GOOD: dict[str, Any] = {"name": "abc", "tags": {"a": "b"}, "properties": {"word": "ab", "words": ["ab"], "free": [1]}}


def test_a_body_as_defined_has_no_violation_and_each_property_is_counted(widget: Body) -> None:
    checked = check(widget, GOOD)
    assert checked.violations == []
    assert checked.properties == len(["name", "tags", "a", "properties", "word", "words", "words[0]", "free"])


@pytest.mark.parametrize(
    ("properties", "violation"),
    [
        ({"word": None}, "properties.word: expected what WidgetProperties requires, got nothing"),
        ({"word": "a"}, 'properties.word: expected 2 to 4 characters, got "a"'),
        ({"word": "AB"}, 'properties.word: expected what matches ^[a-z]+$, got "AB"'),
        ({"word": 1}, "properties.word: expected a string, got 1"),
        ({"count": 10}, "properties.count: expected 1 to 9, got 10"),
        ({"count": 0}, "properties.count: expected 1 to 9, got 0"),
        ({"count": 1.5}, "properties.count: expected a whole number, got 1.5"),
        ({"count": True}, "properties.count: expected a whole number, got true"),
        ({"on": "true"}, 'properties.on: expected a boolean, got "true"'),
        ({"colour": "Green"}, 'properties.colour: expected one of Blue, Red, got "Green"'),
        ({"words": []}, "properties.words: expected 1 to 2 items, got a list"),
        ({"words": "ab"}, 'properties.words: expected a list, got "ab"'),
        ({"words": ["ab", "A"]}, 'properties.words[1]: expected 2 to 4 characters, got "A"'),
        ({"state": {}}, "properties.state: expected nothing, because it is read-only, got an object"),
        ({"part": []}, "properties.part: expected an object (Part), got a list"),
        ({"part": {"size": 1}}, "properties.part.size: expected a property of Part (name, properties), got 1"),
        ({"rule": {"limit": 1}}, "properties.rule.kind: expected one of Dynamic, Static, got nothing"),
        ({"rule": {"kind": "Other"}}, 'properties.rule.kind: expected one of Dynamic, Static, got "Other"'),
        ({"rule": "Static"}, 'properties.rule: expected an object (Rule), got "Static"'),
    ],
)
def test_each_kind_of_violation_is_told_with_its_path(widget: Body, properties: dict[str, Any], violation: str) -> None:
    checked = check(widget, GOOD | {"properties": GOOD["properties"] | properties})
    assert violation in [str(v) for v in checked.violations]


def test_a_discriminated_object_is_checked_as_what_it_says_it_is(widget: Body) -> None:
    def violations(rule: dict[str, Any]) -> list[str]:
        body = GOOD | {"properties": GOOD["properties"] | {"rule": rule}}
        return [v.path for v in check(widget, body).violations]

    assert violations({"kind": "Static", "limit": 10, "name": 1}) == [
        "properties.rule.kind",  # the element's own literal
        "properties.rule.limit",
        "properties.rule.name",
    ]
    assert violations({"kind": "Dynamic", "limit": 1}) == ["properties.rule.kind", "properties.rule.limit"]


def test_unknown_and_missing_properties_beside_properties_are_told(widget: Body) -> None:
    assert [v.path for v in check(widget, {"name": "abc", "colour": "Red"}).violations] == ["colour", "properties"]


def test_a_long_value_is_cut_in_a_message(widget: Body) -> None:
    (violation,) = check(widget, GOOD | {"properties": {"word": "ab", "colour": "x" * 500}}).violations
    assert len(violation.got) < 100
    assert "(500 characters)" in violation.got


def test_numbers_need_not_be_whole_where_that_is_known(widget: Body) -> None:
    body = GOOD | {"properties": GOOD["properties"] | {"part": {"properties": {"size": 1.5}}}}
    assert check(widget, body).violations
    decimals = Body(widget.entries, widget.entry, frozenset({"properties.part.properties.size"}))
    assert not check(decimals, body).violations


def test_what_the_sdk_lifts_out_of_properties_is_put_back_at_every_depth(widget: Body) -> None:
    flat = {"name": "abc", "word": "ab", "part": {"name": "p", "size": 1}, "rule": None}
    assert put_back(widget, flat, {}) == {
        "name": "abc",
        "properties": {"word": "ab", "part": {"name": "p", "properties": {"size": 1}}},
    }
    assert put_back(widget, {"name": "abc"}, {}) == {"name": "abc", "properties": {}}


def test_an_input_of_another_name_gets_the_propertys_at_every_depth(widget: Body) -> None:
    spelled = {"saying": "word", "sort": "kind", "extent": "size", "bound": "limit"}
    flat = {"name": "abc", "saying": "ab", "part": {"extent": 1}, "rule": {"sort": "Static", "bound": 2}}
    assert put_back(widget, flat, spelled)["properties"] == {
        "word": "ab",
        "part": {"properties": {"size": 1}},
        "rule": {"kind": "Static", "limit": 2},
    }


def test_the_extract_has_what_a_body_can_hold_and_no_more(folder: Path) -> None:
    definitions = extract(folder, {("Contoso.Widgets/widgets", "2026-01-01")})
    kept: Mapping[str, Any] = definitions.document["files"][FILE]
    assert "16" not in kept  # only answered
    assert "description" not in text_of(definitions)
    assert kept["13"]["properties"]["state"] == {"flags": READ_ONLY}
    assert Definitions(json.loads(text_of(definitions))) == definitions


def test_a_change_of_the_definitions_changes_the_extract(folder: Path) -> None:
    types = {("Contoso.Widgets/widgets", "2026-01-01")}
    before = text_of(extract(folder, types))
    file = folder / FILE / "types.json"
    file.write_text(file.read_text().replace('"maxValue": 9', '"maxValue": 8'))
    assert text_of(extract(folder, types)) != before


@pytest.mark.parametrize(
    "missing", [("Contoso.Widgets/other", "2026-01-01"), ("Contoso.Widgets/widgets", "2027-01-01")]
)
def test_a_type_or_version_that_is_not_defined_is_told(folder: Path, missing: tuple[str, str]) -> None:
    with pytest.raises(NoDefinition, match=re.escape(f"no definition of {missing[0]} in its version {missing[1]}")):
        extract(folder, {missing})
    with pytest.raises(NoDefinition, match="no definition of"):
        committed().body(*missing)


# --- the committed files ----------------------------------------------------------------------------------------


def has_path(body: Body, path: str) -> bool:
    """Whether a body can hold this path; lists are gone through."""
    entry = body.entry
    for name in path.split("."):
        while entry["$type"] == "ArrayType":
            entry = body.at(entry["itemType"])
        known = entry.get("properties", {}).get(name)
        if known is None or known["flags"] & READ_ONLY:
            return False
        entry = body.at(known["type"])
    return True


@pytest.mark.parametrize("row", TYPES.values(), ids=lambda row: row.arm_type)
def test_of_each_type_it_is_known_what_is_fixed_and_each_path_exists(row: Row) -> None:
    facts = supplement()
    kinds = [kind for kind in ("createOnly", "refused", "frozen", "nothing") if row.arm_type in facts[kind]]
    assert kinds, f"{row.arm_type}: supplement.json says nothing of what can change"
    assert ("nothing" in kinds) == (len(kinds) == 1 and kinds[0] == "nothing")
    for kind in ("createOnly", "refused", "frozen", "decimals"):
        for entry in facts[kind].get(row.arm_type, []):
            assert has_path(row.definition, entry["path"]), f"{row.arm_type} has no {entry['path']}"


def test_each_fact_has_its_source() -> None:
    for kind, types in supplement().items():
        for arm_type, entries in types.items():
            paths = [str(entry.get("path", "")) for entry in entries]
            assert paths == sorted(set(paths)), (kind, arm_type)
            assert all(len(entry["source"]) > 30 for entry in entries), (kind, arm_type)


@pytest.mark.parametrize("row", TYPES.values(), ids=lambda row: row.arm_type)
def test_each_type_has_a_rule_for_its_names(row: Row) -> None:
    for illegal in ("", "a/b", "x" * 400):
        with pytest.raises(AzureError, match="InvalidResourceName"):
            names.check(row.arm_type, illegal)


@pytest.mark.parametrize(
    ("arm_type", "legal", "illegal"),
    [
        ("Microsoft.Network/networkSecurityGroups", "nsg-apps_", "nsg-apps-"),
        ("Microsoft.Network/natGateways", "ng", "_ng"),
        ("Microsoft.Network/publicIPAddresses", "p", "p" * 81),
        ("Microsoft.Network/applicationGateways", "agw.one", "agw one"),
        ("Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies", "waf-emea", "waf-emea."),
        ("Microsoft.Network/virtualNetworks", "vn", "v"),
        ("Microsoft.Network/privateDnsZones/virtualNetworkLinks", "link", "-link"),
        ("Microsoft.Insights/actionGroups", "on call", "on call "),
        ("Microsoft.Insights/diagnosticSettings", "audit", "audit?"),
        ("Microsoft.Insights/metricAlerts", "age of write-backs", "age > 1"),
        ("Microsoft.Insights/scheduledQueryRules", "refused launches", "refused launches."),
        ("Microsoft.Insights/components", "appi-emea", "appi%emea"),
        ("Microsoft.Authorization/locks", "keep(state)", "keep."),
        ("Microsoft.Authorization/policyAssignments", "allowed-locations", "p" * 65),
        ("Microsoft.Authorization/roleAssignments", "0" * 8 + "-0000-4000-8000-" + "0" * 12, "reader"),
        ("Microsoft.Consumption/budgets", "b" * 63, "monthly budget"),
        ("Microsoft.ContainerRegistry/registries", "crconnector", "cr-connector"),
        ("Microsoft.DBforPostgreSQL/flexibleServers/configurations", "pgaudit.log", "pgaudit-log"),
        ("Microsoft.DBforPostgreSQL/flexibleServers/administrators", "0" * 8 + "-0000-4000-8000-" + "0" * 12, "admin"),
    ],
)
def test_names_are_legal_as_the_documentation_has_it(arm_type: str, legal: str, illegal: str) -> None:
    names.check(arm_type, legal)
    with pytest.raises(AzureError, match="InvalidResourceName"):
        names.check(arm_type, illegal)
