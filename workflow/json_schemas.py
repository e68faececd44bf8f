"""Writes `schemas/json/` from the models: `python -m workflow.json_schemas`, after each change (a test compares)."""

import json

from schemas.configuration_document import ConfigurationDocument
from schemas.handover import Handover
from schemas.json_schema import model_schema, stack_file_schema
from schemas.promotion.promoted import Promoted
from schemas.promotion.statement import Approval, AuditHead, BreakGlass, Rehearsal, Revocations
from schemas.promotion.trust import TrustAnchors
from schemas.stack_config import Organization
from workflow.project import SOURCE


def generated_files() -> dict[str, str]:
    """The content of every file of `schemas/json/`, by name."""
    schemas = {
        "stack.schema.json": stack_file_schema(),
        "organization.schema.json": model_schema(Organization),
        "configuration-document.schema.json": model_schema(ConfigurationDocument),
        "handover.schema.json": model_schema(Handover),
        # predicates of statements, by type (docs/statements.md)
        "approval.schema.json": model_schema(Approval),
        "rehearsal.schema.json": model_schema(Rehearsal),
        "revocations.schema.json": model_schema(Revocations),
        "break-glass.schema.json": model_schema(BreakGlass),
        "audit-head.schema.json": model_schema(AuditHead),
        # the other files of promotion
        "promoted.schema.json": model_schema(Promoted),
        "trust-anchors.schema.json": model_schema(TrustAnchors),
    }
    return {name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in schemas.items()}


def main() -> None:
    folder = SOURCE / "schemas" / "json"
    folder.mkdir(exist_ok=True)
    for name, text in generated_files().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
