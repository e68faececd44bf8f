"""Every field of an organisation as its published JSON Schema lists them, and other values for each.

Owns the walk over the schema and the strategies of values that fit it; a field's path has `[]` for an item of a list.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (JSON Schemas are nested dictionaries.)

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.stack_config import Organization
from tests.support.samples import ROOT

Schema = dict[str, Any]

SCHEMA: Schema = json.loads((ROOT / "schemas" / "json" / "organization.schema.json").read_text("utf-8"))

WORD = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
URLS = {
    "expected a FHIR base URL": st.builds("https://{0}.example.org/{1}/FHIR".format, WORD, WORD),
    "expected an https URL": st.builds("https://{0}.example.org/{1}".format, WORD, WORD),
    "expected an origin": st.builds("https://{0}.example.org".format, WORD),
}
"""By the beginning of the schema's `errorMessage`, where no pattern says it."""


def fields() -> list[str]:
    """`id`, `connections[].clients.provider.authentication.method` ..."""
    return list(_fields(SCHEMA, ""))


def _fields(schema: Schema, path: str) -> Iterator[str]:
    schema = _resolved(schema)
    if "properties" in schema:
        for name, part in schema["properties"].items():
            yield from _fields(part, f"{path}.{name}" if path else name)
    elif schema.get("type") == "array" and "properties" in _resolved(schema["items"]):
        yield from _fields(schema["items"], f"{path}[]")
    elif "const" not in schema:
        yield path


def _resolved(schema: Schema) -> Schema:
    return SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")] if "$ref" in schema else schema


def part_of(field: str) -> Schema:
    """The schema of a field's values."""
    schema = SCHEMA
    for name in field.replace("[]", ".[]").split("."):
        schema = _resolved(schema)
        schema = schema["items"] if name == "[]" else schema["properties"][name]
    return _resolved(schema)


def values(field: str) -> st.SearchStrategy[Any]:
    """Values of a field that fit its schema."""
    return _values(part_of(field))


def _values(schema: Schema) -> st.SearchStrategy[Any]:
    schema = _resolved(schema)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "boolean":
        return st.booleans()
    if schema["type"] == "array":
        return st.lists(_values(schema["items"]), max_size=2, unique=True)
    if "pattern" in schema:
        longest = schema.get("maxLength", 200)
        if schema["pattern"].startswith("^[0-9a-f]{8}-"):
            return st.uuids().map(str)
        return st.from_regex(schema["pattern"].replace("$", r"\Z"), alphabet=_ALPHABET).filter(
            lambda v: len(v) <= longest
        )
    return next(strategy for start, strategy in URLS.items() if schema["errorMessage"].startswith(start))


_ALPHABET = st.characters(codec="ascii")


NEEDS = {"client_secret_basic": {"secret": "a-secret"}, "private_key_jwt": {"key": "a-key", "algorithm": "RS384"}}


def changed(organization: dict[str, Any], connection: int, field: str, value: Any) -> Organization | None:
    """An organisation (in the words of its schema) with another value of a field; None where that means nothing.

    `connection` says of which connection. What a new choice needs comes with it, so that the choice can be made.
    """
    result = copy.deepcopy(organization)
    place: Any = result
    *above, last = field.replace("[]", "").split(".")
    for name in above:
        place = place.setdefault(name, {})
        if isinstance(place, list):
            place = place[connection if name == "connections" else 0]
    if "authentication" in above:
        method = value if last == "method" else "client_secret_basic" if last == "secret" else "private_key_jwt"
        if place.get("method") != method:
            place.clear()
            place |= {"method": method, **NEEDS.get(method, {})}
    place[last] = value
    try:
        return Organization.model_validate(result)
    except ValidationError:
        return None
