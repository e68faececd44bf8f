"""Nothing is made but what the other policies know how to judge: the types that the components emit, by one spelling.

They judge by type. What has another one passes them unseen: a deployment template, a job that runs another image, the
same container app by an explicit version of its API, a command. So a type that the components do not emit is refused.
"""

import json
from functools import cache
from pathlib import Path

from pulumi_policy import ReportViolation, ResourceValidationArgs, ResourceValidationPolicy

from schemas.stack_config import PROJECT

EMITTED = Path(__file__).resolve().parent.parent / "components" / "emitted_types.json"
OF_THE_ENGINE = frozenset({"pulumi:pulumi:Stack", "pulumi:providers:azure-native"})


@cache
def emitted() -> frozenset[str]:
    return frozenset(json.loads(EMITTED.read_text("utf-8")))


def validate(args: ResourceValidationArgs, report_violation: ReportViolation) -> None:
    """Components are none of a provider's, and make nothing themselves."""
    given = args.resource_type
    if given not in emitted() and given not in OF_THE_ENGINE and not given.startswith(f"{PROJECT}:"):
        report_violation(f"expected a type that the components emit, got {given}", args.urn)


POLICY = ResourceValidationPolicy("known-types", "Only what the other policies judge is made.", validate)
