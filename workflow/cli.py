"""The `connector` command: what operators run.

Owns names, options and exit codes. Each command imports what it needs when it runs, so that `--help` is quick. Exit
codes: 0 done, 1 refused or failed with a reason, 2 wrong use of the command.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from workflow.audit_commands import audit
from workflow.merge.commands import merge
from workflow.output import Output
from workflow.promotion import commands

app = typer.Typer(
    name="connector",
    help="Virtual visits in Microsoft Teams, started from the EHR: check, run and demonstrate stacks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    pass


Stack = Annotated[str, typer.Argument(help="The stack's name: NAME of Pulumi.NAME.yaml.")]


@app.command()
def check(
    stacks: Annotated[list[str] | None, typer.Argument(metavar="[STACK]...", help="Stacks; all where none.")] = None,
    output: Annotated[Output, typer.Option(help="As a table, or as one JSON document.")] = Output.TEXT,
    promotion: Annotated[
        bool, typer.Option("--promotion", help="Decide every connection too, as an update would.")
    ] = False,
) -> None:
    """Check stacks' configuration, without Pulumi or network, and show every problem at once."""
    from rich.console import Console

    from workflow import check as configuration
    from workflow.project import current
    from workflow.promotion import check as decisions

    command = decisions if promotion else configuration
    if not command.check(current(), stacks or [], as_json=output is Output.JSON, console=Console()):
        raise typer.Exit(1)


@app.command()
def policy(
    state: Annotated[Path, typer.Argument(help="What `pulumi stack export --file` wrote.")],
    stack: Annotated[str | None, typer.Option(help="Refuse the state of another stack than this one.")] = None,
    output: Annotated[Output, typer.Option(help="As a table, or as one JSON document.")] = Output.TEXT,
) -> None:
    """Judge an exported state by the policy pack, without Pulumi or network, and show every violation at once."""
    from rich.console import Console

    from workflow import policy as pack
    from workflow.project import current

    if not pack.policy(current(), state, stack=stack, as_json=output is Output.JSON, console=Console()):
        raise typer.Exit(1)


@app.command()
def consent(
    stack: Annotated[str, typer.Option(help="The stack whose registrations they are.")],
    organizations: Annotated[
        list[str] | None, typer.Argument(metavar="[ORG]...", help="Organisations; all where none.")
    ] = None,
    format_: Annotated[Output, typer.Option("--format", help="For people, or as one JSON document.")] = Output.TEXT,
    output: Annotated[
        Path | None, typer.Option(help="Write files below this folder: for each organisation, and each registration.")
    ] = None,
) -> None:
    """What a hospital's Microsoft 365 administrators do: consent address, permissions with reasons, Teams script."""
    import json

    from workflow import consent as command
    from workflow.project import current

    config, chosen = command.chosen(current(), stack, organizations or [])
    if output is not None:
        print("\n".join(f"wrote {file}" for file in command.write(config, chosen, output)))
    elif format_ is Output.JSON:
        print(json.dumps(command.values(config, chosen), indent=2, ensure_ascii=False))
    else:
        print("\n".join(command.text(config, organization) for organization in chosen))


@app.command()
def up(stack: Stack = "local") -> None:
    """Run a stack of the emulated cloud until Ctrl-C; then nothing is left."""
    from rich.console import Console

    from workflow import local
    from workflow.project import current

    console = Console()
    if not console.is_terminal:
        console.width = 160
    local.up(current(), stack, _report, console.print)


@app.command()
def down(
    stacks: Annotated[list[str] | None, typer.Argument(metavar="[STACK]...", help="Stacks; all where none.")] = None,
) -> None:
    """End what runs here and destroy the stacks of the emulated cloud."""
    from workflow import local
    from workflow.project import current

    local.down(current(), stacks or [], _report)


@app.command()
def env(stack: Stack = "local") -> None:
    """Print what a hand-typed pulumi needs: eval "$(connector env)"."""
    from workflow import local
    from workflow.project import current

    print(local.env(current(), stack, _report))


@app.command()
def demo(
    stack: Stack = "local",
    appointments: Annotated[
        int | None, typer.Option(min=1, max=500, help="So many random visits in all; else one of each organisation.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses the random visits.")] = 1,
    output: Annotated[Output, typer.Option(help="A timeline, or one JSON document.")] = Output.TEXT,
) -> None:
    """Run the local stack, drive whole visits through it, and take it down."""
    import json

    from rich.console import Console

    from workflow import demo as command
    from workflow.project import current
    from workflow.timeline import Timeline

    timeline = Timeline(Console(stderr=output is Output.JSON))
    try:
        found = command.demo(
            current(), stack, appointments=appointments, seed=seed, report=timeline.report, say=timeline.say
        )
    except KeyboardInterrupt:
        _report("interrupted; nothing is left")
        raise typer.Exit(130) from None
    if output is Output.JSON:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        timeline.summary(found)


commands.register(app)
app.add_typer(audit, name="audit")
app.add_typer(merge, name="merge")


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


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
