"""`make bench`: what deciding costs beside reading and verifying, in JSON lines; ratios of one run, never asserted.

A project of many organisations, each a file with one test connection and two production connections, everything
approved and rehearsed. Compared with one parse of the same files and the bare signature verifications.
"""

# pyright: reportUnknownMemberType=false
# (ruamel.yaml is typed in parts.)

import argparse
import base64
import io
import json
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ruamel.yaml import YAML

from schemas.loading import load_stack
from schemas.promotion.approvals import Approvals, known_of_stack
from schemas.promotion.decide import Approved, decide
from schemas.promotion.envelope import unsigned
from schemas.stack_config import StackConfig
from tests.support.samples import text
from tests.support.statements import IMAGE, NOW, accepted, emulated_anchors

SAMPLE = "Pulumi.local.yaml"
T = TypeVar("T")


def project(organizations: int) -> dict[str, str]:
    """The files of a test stack, by path; JSON is YAML, but these are written as people write them."""
    yaml = YAML(typ="safe", pure=True)
    stack = yaml.load(text(SAMPLE))
    model = yaml.load(text("organizations/local/prairie.yaml"))
    files: dict[str, str] = {}
    for number in range(organizations):
        name = f"clinic-{number:04d}"
        organization = renamed(model, "prairie", name, number)
        files[f"organizations/bench/{name}.yaml"] = as_yaml(organization)
    stack["config"]["teams-ehr-connector:organizations"] = list(files)
    return {SAMPLE: as_yaml(stack), **files}


def renamed(model: dict[str, Any], before: str, name: str, number: int) -> dict[str, Any]:
    """An organisation like another, with a third connection, and an EHR at a port of its own."""
    port = model["connections"][0]["fhirBaseUrl"].split("/")[2].rpartition(":")[2]
    organization = json.loads(json.dumps(model).replace(before, name).replace(f":{port}", f":{20000 + number}"))
    test, production = organization["connections"]
    second = json.loads(json.dumps(production).replace("-prd", "-prd2").replace("-production", "-second"))
    organization["connections"] = [test, production, second]
    return organization


def as_yaml(value: object) -> str:
    out = io.StringIO()
    yaml = YAML()
    yaml.dump(value, out)
    return out.getvalue()


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """The better of two, so that what is imported and compiled once counts nowhere."""
    first = time.perf_counter()
    work()
    second = time.perf_counter()
    result = work()
    return min(second - first, time.perf_counter() - second), result


def loaded(files: dict[str, str]) -> StackConfig:
    found = load_stack(SAMPLE, files.__getitem__)
    assert found.stack is not None, found.errors[:3]
    return found.stack


def bare(approvals: Approvals) -> None:
    """Every signature, with the key at hand: what no decision can do without."""
    keys: dict[str, Any] = {}
    for anchor in emulated_anchors().keys:
        keys[anchor.key_id] = serialization.load_der_public_key(base64.b64decode(anchor.public_key))
    for file in approvals.statements:
        envelope = json.loads(file.content)
        (signature,) = envelope["signatures"]
        pae = unsigned(base64.b64decode(envelope["payload"])).pae()
        keys[signature["keyid"]].verify(base64.b64decode(signature["sig"]), pae, ec.ECDSA(hashes.SHA256()))


def decided(stack: StackConfig, approvals: Approvals) -> None:
    decisions = decide(known_of_stack(stack, approvals, emulated_anchors(), IMAGE, NOW))
    assert all(isinstance(d, Approved) for d in decisions.values())


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--organizations", type=int, default=1000)
    count = parser.parse_args().organizations
    files = project(count)
    parse, stack = timed(lambda: loaded(files))
    approvals = accepted(stack)
    signatures, _ = timed(lambda: bare(approvals))
    check, _ = timed(lambda: decided(loaded(files), approvals))
    decision, _ = timed(lambda: decided(stack, approvals))
    line = {
        "organizations": count,
        "connections": 3 * count,
        "statements": len(approvals.statements),
        "parse_seconds": round(parse, 2),
        "bare_signatures_seconds": round(signatures, 2),
        "decide_seconds": round(decision, 2),
        "check_promotion_seconds": round(check, 2),
        "check_promotion_to_parse_and_signatures": round(check / (parse + signatures), 2),
        "decide_to_bare_signatures": round(decision / signatures, 2),
    }
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
