"""The commands of promotion: their names, options and exit codes.

Each imports what it needs when it runs. `register` puts them into the `connector` command.
"""

from typing import Annotated, Any

import typer

from workflow.output import Output, Records

Connection = Annotated[str, typer.Argument(help="The id of a connection.")]
Shown = Annotated[Output, typer.Option(help="As text, or as one JSON document.")]


def register(app: typer.Typer) -> None:
    for command in (explain, records):
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


def _console() -> Any:
    from rich.console import Console

    return Console()
