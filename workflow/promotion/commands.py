"""The commands of promotion: their names, options and exit codes.

Each imports what it needs when it runs. `register` puts them into the `connector` command.
"""

from typing import Annotated, Any

import typer

from workflow.output import Output

Connection = Annotated[str, typer.Argument(help="The id of a connection.")]
Shown = Annotated[Output, typer.Option(help="As text, or as one JSON document.")]


def register(app: typer.Typer) -> None:
    for command in (explain,):
        app.command()(command)


def explain(connection: Connection, output: Shown = Output.TEXT) -> None:
    """Tell who approved a connection, when, which digest, on which evidence, and why it is served or not."""
    from workflow.project import current
    from workflow.promotion import explain as command

    command.explain(current(), connection, as_json=output is Output.JSON, console=_console())


def _console() -> Any:
    from rich.console import Console

    return Console()
