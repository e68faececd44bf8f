"""`connector audit export` and `verify`: their options and exit codes. Each imports what it needs when it runs."""

from pathlib import Path
from typing import Annotated

import typer

audit = typer.Typer(no_args_is_help=True, help="Export a geography's audit chain, and prove that nothing was changed.")

Geography = Annotated[str | None, typer.Option(help="Whose chain; needed where the stack has several geographies.")]


@audit.command()
def export(
    output: Annotated[Path, typer.Option(help="The file to write: JSON Lines, as in docs/audit.md.")],
    stack: Annotated[str, typer.Argument(help="The stack's name: NAME of Pulumi.NAME.yaml.")] = "local",
    geography: Geography = None,
) -> None:
    """Write all rows and anchored heads of a geography's audit to a file."""
    from workflow import audit as command
    from workflow.project import current

    project = current()
    config = project.valid(stack)
    rows, heads = command.export(project, config, command.geography_of(config, geography), output)
    print(f"{output}: {rows} rows, {heads} heads")


@audit.command()
def verify(
    file: Annotated[Path | None, typer.Argument(help="An exported file; what is live where none.")] = None,
    stack: Annotated[str, typer.Option(help="The stack whose pinned keys count.")] = "local",
    geography: Geography = None,
) -> None:
    """Find every changed, removed, moved or cut off row, in a file (offline) or in what is live; exit code 1 if any."""
    from rich.console import Console

    from workflow import audit as command
    from workflow.project import current

    project, console = current(), Console()
    config = project.valid(stack)
    if file is not None:
        whole = command.verify_file(project, config, file, console)
    else:
        whole = command.verify_live(project, config, command.geography_of(config, geography), console)
    if not whole:
        raise typer.Exit(1)
