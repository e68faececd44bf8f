"""Projects of many organisations, made of a sample's file: other names, ports of their own, more connections."""

# pyright: reportUnknownMemberType=false
# (ruamel.yaml is typed in parts.)

import io
import json
from typing import Any

from ruamel.yaml import YAML

from tests.support.samples import text

SAMPLE = "Pulumi.local.yaml"
FIRST_PORT = 20000


def project(organizations: int) -> dict[str, str]:
    """The files of a test stack, by path, as people write them."""
    yaml = YAML(typ="safe", pure=True)
    stack = yaml.load(text(SAMPLE))
    model = yaml.load(text("organizations/local/prairie.yaml"))
    files: dict[str, str] = {}
    for number in range(organizations):
        name = f"clinic-{number:04d}"
        files[f"organizations/bench/{name}.yaml"] = as_yaml(renamed(model, "prairie", name, number))
    stack["config"]["teams-ehr-connector:organizations"] = list(files)
    return {SAMPLE: as_yaml(stack), **files}


def renamed(model: dict[str, Any], before: str, name: str, number: int) -> dict[str, Any]:
    """An organisation of a test stack like another: one connection of test, two of production."""
    port = model["connections"][0]["fhirBaseUrl"].split("/")[2].rpartition(":")[2]
    other = json.dumps(model).replace(before, name).replace(f":{port}", f":{FIRST_PORT + number}")
    organization = json.loads(other)
    test, production = organization["connections"]
    second = json.loads(json.dumps(production).replace("-prd", "-prd2").replace("-production", "-second"))
    organization["connections"] = [test, production, second]
    return organization


def as_yaml(value: object) -> str:
    out = io.StringIO()
    YAML().dump(value, out)
    return out.getvalue()
