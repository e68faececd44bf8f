"""The commands of promotion: their names, options and exit codes.

Each imports what it needs when it runs. `register` puts them into the `connector` command.
"""

from typing import Annotated, Any

import typer

from workflow.output import Output, Records

Connection = Annotated[str, typer.Argument(help="The id of a connection.")]
Shown = Annotated[Output, typer.Option(help="As text, or as one JSON document.")]


def register(app: typer.Typer) -> None:
    for command in (explain, records, promote):
        app.command()(command)


def explain(connection: Connection, output: Shown = Output.TEXT) -> None:
    """Tell who approved a connection, when, which digest, on which evidence, and why it is served or not."""
    from workflow.project import current
    from workflow.promotion import explain as command

    command.explain(current(), connection, as_json=output is Output.JSON, console=_console())


def records(
    connection: Connection,
    format_: Annotated[
        Records, typer.Option("--format", help="A table, JSON, or CSV for a spreadsheet.")
    ] = Records.TEXT,
) -> None:
    """Print what is copied into the EHR for each kind of launch of an approved connection."""
    from workflow.project import current
    from workflow.promotion import records as command

    command.records(current(), connection, format_, _console())


def promote(
    organizations: Annotated[
        list[str] | None, typer.Argument(metavar="[ORG]...", help="Organisations; all that are promotable where none.")
    ] = None,
    source: Annotated[str | None, typer.Option("--from", help="The test stack.")] = None,
    target: Annotated[str | None, typer.Option("--to", help="The production stack.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the change and propose nothing.")] = False,
    output: Shown = Output.TEXT,
) -> None:
    """Propose what is approved and rehearsed for production: connections and statements, on a branch."""
    import asyncio
    import json

    from workflow.project import current
    from workflow.promotion import promote as command

    found = asyncio.run(command.promote(current(), organizations or [], source=source, target=target, dry_run=dry_run))
    if output is Output.JSON:
        print(json.dumps(command.values(found), indent=2))
    else:
        print("\n".join(command.lines(found, dry_run=dry_run)))


def _console() -> Any:
    from rich.console import Console

    return Console()
