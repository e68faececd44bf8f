"""`connector records CONNECTION`: what is copied into the EHR, of an approved connection alone.

Owns how it is printed. What the records say, and when they are shown, is `schemas/integration_records.py`.
"""

import json

from rich.console import Console
from rich.table import Table

from schemas.integration_records import IntegrationRecord, are_shown, records_csv, records_json, records_of
from schemas.promotion.telling import reasons_of
from workflow.errors import WorkflowError
from workflow.output import Records
from workflow.project import Project
from workflow.promotion.judging import as_proposed


class NotApproved(WorkflowError):
    def __init__(self, connection: str, reasons: list[str]) -> None:
        super().__init__(f"{connection} is not approved, so there is nothing yet to copy into the EHR")
        self.advice = "\n".join(f"  - {reason}" for reason in reasons)


def records(project: Project, connection: str, kind: Records, console: Console) -> None:
    """Raises `UnknownConnection`, `NotApproved`."""
    place, decision = as_proposed(project, connection)
    if not are_shown(decision):
        raise NotApproved(connection, [*map(str, reasons_of(decision))])
    hosts = place.judged.stack.geographies[place.organization.geography].public_hosts
    found = records_of(place.connection, hosts)
    match kind:
        case Records.JSON:
            console.print_json(json.dumps(records_json(place.organization, place.connection, found)))
        case Records.CSV:
            print(records_csv(found), end="")
        case Records.TEXT:
            console.print(_table(connection, found))


def _table(connection: str, found: tuple[IntegrationRecord, ...]) -> Table:
    table = Table("record", "what", title=f"integration records of {connection}", title_justify="left")
    table.add_column("value", overflow="fold")
    for record in found:
        ready = record.title if record.available else f"{record.title} (not to be switched on)"
        rows = {
            "what to do": record.instruction,
            "launch URL": record.launch_url,
            "redirect URL": record.redirect_url,
            "client id": record.client_id,
        }
        rows |= {"context": record.context_text, "record id": record.record_id or "as the EHR gives it"}
        for n, (what, value) in enumerate(rows.items()):
            table.add_row("" if n else ready, what, value)
    return table
