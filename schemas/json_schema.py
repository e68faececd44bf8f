"""JSON Schemas made from the models: for the shape in `connector check`, and for editors (`schemas/json/`).

Owns the step from what pydantic generates to what people and validators read well: no null beside an optional value,
discriminated unions as `if`/`then` (an error then names the field, not six alternatives), no machine-made titles.
The models are the authority; which of them have a file is said where those are written (`workflow/json_schemas.py`).
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (JSON Schemas are nested dictionaries.)

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from pydantic import BaseModel, TypeAdapter

from schemas.scalars import FilePath
from schemas.stack_config import PROJECT, Organization, StackConfig

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

STACK_FIELDS = {
    "stage": "text",
    "cloud": "text",
    "image": "text",
    "microsoft365": "json",
    "geographies": "json",
    "promotion": "json",
    "organizations": "json",
}
"""The keys under `teams-ehr-connector:`, and how the engine hands each to the program."""


def model_schema(model: type[BaseModel]) -> Schema:
    """A model's schema, as described above."""
    schema = _tidy(model.model_json_schema(by_alias=True, mode="validation"))
    return {"$schema": DIALECT, **_with_members_properties(schema, schema.get("$defs", {}))}


def stack_schema() -> Schema:
    """What stands under `teams-ehr-connector:`; an organisation is itself or the path of its file."""
    schema = model_schema(StackConfig)
    path = _tidy(TypeAdapter(FilePath).json_schema())
    schema["properties"]["organizations"]["items"] = {
        "description": "An organisation, or the path of a file that holds it",
        "type": ["object", "string"],
        "if": {"type": "string"},
        "then": path,
        "else": {"$ref": "#/$defs/Organization"},
    }
    return schema


def stack_file_schema() -> Schema:
    """A whole `Pulumi.<stack>.yaml`: our keys in full; other namespaces and Pulumi's own keys are left alone."""
    stack = stack_schema()
    own = {f"{PROJECT}:{name}": schema for name, schema in stack["properties"].items()}
    return {
        "$schema": DIALECT,
        "title": f"Stack configuration of {PROJECT}",
        "description": stack["description"],
        "type": "object",
        "required": ["config"],
        "properties": {
            "config": {
                "type": "object",
                "required": [f"{PROJECT}:{name}" for name in stack["required"]],
                "properties": own,
                "patternProperties": {f"^{PROJECT}:(?!(?:{'|'.join(STACK_FIELDS)})$)": False, "^[^:]*$": False},
            }
        },
        "$defs": stack["$defs"],
    }


@cache
def stack_validator() -> Draft202012Validator:
    """Of the values under our keys, but for organisations, which are checked one by one."""
    schema = stack_schema()
    items = schema["properties"]["organizations"]["items"]
    items["else"] = True
    return Draft202012Validator(schema)


@cache
def organization_validator() -> Draft202012Validator:
    return Draft202012Validator(model_schema(Organization))


# --- tidying --------------------------------------------------------------------------------------------------------


def _tidy(schema: Any, *, names: bool = False) -> Any:
    """Without titles and nulls. `names` says that the keys of `schema` are names, not keywords."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if names:
        return {key: _tidy(value) for key, value in schema.items()}
    tidied = {
        key: _tidy(value, names=key in ("properties", "$defs", "patternProperties"))
        for key, value in schema.items()
        if key != "title" and not (key == "default" and value is None)
    }
    return _without_union(_without_null(tidied))


def _without_null(schema: Schema) -> Schema:
    choices = schema.get("anyOf")
    if choices is None or {"type": "null"} not in choices:
        return schema
    (only,) = (choice for choice in choices if choice != {"type": "null"})
    return {**{k: v for k, v in schema.items() if k != "anyOf"}, **only, **_description(schema)}


def _description(schema: Schema) -> Schema:
    return {"description": schema["description"]} if "description" in schema else {}


def _without_union(schema: Schema) -> Schema:
    if "discriminator" not in schema:
        return schema
    name, mapping = schema["discriminator"]["propertyName"], schema["discriminator"]["mapping"]
    rest = {k: v for k, v in schema.items() if k not in ("oneOf", "discriminator")}
    branches = [
        {"if": {"properties": {name: {"const": value}}, "required": [name]}, "then": {"$ref": reference}}
        for value, reference in mapping.items()
    ]
    choice = {"type": "object", "required": [name], "properties": {name: {"enum": list(mapping)}}}
    return {**rest, **choice, "allOf": branches}


def _with_members_properties(schema: Any, definitions: Schema) -> Any:
    """Check the fields of a union's members whatever member is meant: a wrong `method` must not hide a wrong key."""
    if isinstance(schema, list):
        return [_with_members_properties(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _with_members_properties(value, definitions) for key, value in schema.items()}
    for branch in result.get("allOf", ()):
        member = definitions[branch["then"]["$ref"].removeprefix("#/$defs/")]
        result["properties"] = {**member["properties"], **result["properties"]}
    return result
