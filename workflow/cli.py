"""The `connector` command: what operators run.

Owns names, options and exit codes. Each command imports what it needs when it runs, so that `--help` is quick. Exit
codes: 0 done, 1 refused or failed with a reason, 2 wrong use of the command.
"""

import sys
from enum import StrEnum
from typing import Annotated

import typer

app = typer.Typer(
    name="connector",
    help="Virtual visits in Microsoft Teams, started from the EHR: check, run and demonstrate stacks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


@app.callback()
def _root() -> None:
    pass


Stack = Annotated[str, typer.Argument(help="The stack's name: NAME of Pulumi.NAME.yaml.")]


@app.command()
def check(
    stacks: Annotated[list[str] | None, typer.Argument(metavar="[STACK]...", help="Stacks; all where none.")] = None,
    output: Annotated[Output, typer.Option(help="As a table, or as one JSON document.")] = Output.TEXT,
) -> None:
    """Check stacks' configuration, without Pulumi or network, and show every problem at once."""
    from rich.console import Console

    from workflow import check as command
    from workflow.project import current

    if not command.check(current(), stacks or [], as_json=output is Output.JSON, console=Console()):
        raise typer.Exit(1)


def main() -> None:
    """Run the command; what kept it from its work is told in words."""
    from workflow.errors import WorkflowError

    try:
        app(standalone_mode=True)
    except WorkflowError as problem:
        print(f"connector: {problem}", file=sys.stderr)
        if problem.advice:
            print(problem.advice, file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
