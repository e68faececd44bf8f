"""The JSON Schemas in `schemas/json/` are the models' own, and editors find them."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (ruamel.yaml and jsonschema are typed in parts.)

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from schemas.json_schema import STACK_FIELDS
from schemas.stack_config import StackConfig
from tests.support.samples import ROOT, organization_files, stack_files, text
from workflow.json_schemas import generated_files

FOLDER = ROOT / "schemas" / "json"


@pytest.mark.parametrize("name", generated_files())
def test_a_schema_file_is_what_the_models_generate(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == generated_files()[name], "run: python -m workflow.json_schemas"


def test_there_is_no_other_schema_file() -> None:
    assert {f.name for f in FOLDER.iterdir()} == set(generated_files())


@pytest.mark.parametrize("name", generated_files())
def test_a_schema_is_valid_and_admits_no_null(name: str) -> None:
    schema = json.loads(generated_files()[name])
    Draft202012Validator.check_schema(schema)
    assert '"null"' not in generated_files()[name]


@pytest.mark.parametrize("name", ["stack.schema.json", "organization.schema.json"])
def test_every_mapping_of_a_schema_is_closed(name: str) -> None:
    definitions: dict[str, Any] = json.loads(generated_files()[name])["$defs"]
    assert [n for n, d in definitions.items() if d["type"] == "object" and d["additionalProperties"] is not False] == []


def test_every_key_of_a_stack_is_known_to_the_loader() -> None:
    assert set(STACK_FIELDS) == {f.alias for f in StackConfig.model_fields.values()}


@pytest.mark.parametrize("file", [*stack_files(), *organization_files()])
def test_a_sample_file_names_its_schema_and_fits_it(file: str) -> None:
    first = text(file).splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    schema = (ROOT / file).parent / first.partition("$schema=")[2]
    assert schema.resolve() == FOLDER / ("stack" if file.startswith("Pulumi.") else "organization").__add__(
        ".schema.json"
    )
    validator = Draft202012Validator(json.loads(Path(schema).read_text("utf-8")))
    assert [e.message for e in validator.iter_errors(YAML(typ="safe").load(text(file)))] == []


def test_an_editor_reports_a_misspelt_key_of_ours_and_leaves_others_alone() -> None:
    document = YAML(typ="safe").load(text("Pulumi.local.yaml"))
    document["encryptionsalt"] = "v1:x"
    document["config"]["azure-native:location"] = "eastus2"
    validator = Draft202012Validator(json.loads(generated_files()["stack.schema.json"]))
    assert list(validator.iter_errors(document)) == []
    document["config"]["teams-ehr-connector:stages"] = "test"
    assert len(list(validator.iter_errors(document))) == 1
