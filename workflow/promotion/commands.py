"""The commands of promotion: their names, options and exit codes.

Each imports what it needs when it runs. `register` puts them into the `connector` command.
"""

from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from schemas.vocabulary import GeographyName, StatementType
from workflow.output import Output, Records

trust = typer.Typer(help="Whose signatures count: list keys, add one, retire one.", no_args_is_help=True)

T = TypeVar("T")

Connection = Annotated[str, typer.Argument(help="The id of a connection.")]
Shown = Annotated[Output, typer.Option(help="As text, or as one JSON document.")]


def register(app: typer.Typer) -> None:
    for command in (explain, records, promote, revoke, rehearse):
        app.command()(command)
    app.command("break-glass")(break_glass)
    app.add_typer(trust, name="trust")


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


def revoke(
    connections: Annotated[list[str] | None, typer.Argument(metavar="[CONNECTION]...", help="Connections.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why, in one line; it stands in the list.")] = None,
    lift: Annotated[bool, typer.Option("--lift", help="Take the revocation back.")] = False,
    renew: Annotated[bool, typer.Option("--renew", help="The same lists anew, before they expire.")] = False,
    stack: Annotated[str | None, typer.Option(help="The stack whose lists they are.")] = None,
    days: Annotated[int, typer.Option(min=1, max=31, help="How long the lists are in force.")] = 7,
    output: Shown = Output.TEXT,
) -> None:
    """Stop new launches of connections within a minute: publish a signed list, then propose it on a branch."""
    import json

    from workflow.project import current
    from workflow.promotion import revoke as command

    asked = command.revoke(current(), connections or [], stack=stack, reason=reason, lift=lift, renew=renew, days=days)
    done = _run(asked)
    print(json.dumps(command.values(done), indent=2) if output is Output.JSON else "\n".join(command.lines(done)))
    if done.problems:
        raise typer.Exit(1)


def break_glass(
    connection: Connection,
    waive: Annotated[list[str], typer.Option(metavar="CODE", help="The code of a reason that shall not count.")],
    hours: Annotated[int, typer.Option(help="For how many hours, at most 72.")],
    reason: Annotated[str, typer.Option(help="Why, in one line; everybody will read it.")],
    stack: Annotated[str | None, typer.Option(help="The stack, where several serve the connection.")] = None,
) -> None:
    """In an emergency, for hours: waive reasons for one connection as it is now. Loud everywhere."""
    from workflow.project import current
    from workflow.promotion import glass as command

    broken = _run(command.break_glass(current(), connection, waive=waive, hours=hours, reason=reason, stack=stack))
    _console().print("\n".join(command.lines(broken)), style="bold red", markup=False, highlight=False, soft_wrap=True)


def rehearse(
    organizations: Annotated[
        list[str] | None, typer.Argument(metavar="[ORG]...", help="Organisations; all where none.")
    ] = None,
    stack: Annotated[str, typer.Option(help="The test stack, which is running.")] = "local",
) -> None:
    """Make whole visits on emulated EHRs, and wait until their rehearsals are published."""
    from workflow.project import current
    from workflow.promotion import rehearse as command
    from workflow.timeline import Timeline

    timeline = Timeline(_console())
    for found in _run(command.rehearse(current(), stack, organizations or [], timeline.say)):
        print(f"{found.organization}: {found.connection} is rehearsed: {found.file}")


@trust.command("list")
def trust_list(
    stack: Annotated[str, typer.Argument(help="The stack's name.")] = "local", output: Shown = Output.TEXT
) -> None:
    """List the keys of a stack and of the image: which count, for which geography, and why others do not."""
    import json

    from workflow.project import current
    from workflow.promotion import keys

    found = keys.listed(current(), stack)
    if output is Output.JSON:
        print(json.dumps({"stack": stack, "keys": [key.values() for key in found]}, indent=2))
    else:
        keys.show(found, _console())


@trust.command("add")
def trust_add(
    name: Annotated[str, typer.Argument(help="The key's name in its Key Vault.")],
    geography: Annotated[GeographyName, typer.Option(help="The geography that it signs for.")],
    signs: Annotated[list[StatementType], typer.Option(help="A type of statement that it may sign.")],
    stack: Annotated[list[str], typer.Option(help="A stack that shall trust it; the first one's vault has it.")],
    version: Annotated[str | None, typer.Option(help="The key's version; the current one where none.")] = None,
    public_key: Annotated[
        Path | None, typer.Option(help="Its public half in PEM, where this machine does not reach the vault.")
    ] = None,
) -> None:
    """Trust another key version: pin it in stacks' files and list it in the image's anchors."""
    from workflow.project import current
    from workflow.promotion import keys

    files = _run(keys.added(current(), stack, name, geography, tuple(signs), version, public_key))
    print("\n".join([f"changed {file}" for file in files] + [keys.OWN]))


@trust.command("retire")
def trust_retire(
    key: Annotated[str, typer.Argument(help="The key's id, or how it begins.")],
    stack: Annotated[list[str], typer.Option(help="A stack that trusts it.")],
    at: Annotated[str | None, typer.Option(help="From when on (2026-06-01T12:00:00Z); now where none.")] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Though nobody else may sign the same.")] = False,
) -> None:
    """Let a key's statements from now on count no more; older ones still do."""
    from workflow.project import current
    from workflow.promotion import keys

    files = [file for name in stack for file in keys.retire(current(), name, key, when=at, alone=alone)]
    print("\n".join([f"changed {file}" for file in files] + [keys.OWN]))


def _run(work: Coroutine[Any, Any, T]) -> T:
    """To the end; what kept the runtime's parts from their work is told in words, too."""
    import asyncio

    from runtime.errors import ConnectorError
    from workflow.errors import WorkflowError

    try:
        return asyncio.run(work)
    except ConnectorError as problem:
        told = WorkflowError(str(problem))
        told.advice = problem.advice
        raise told from None


def _console() -> Any:
    from rich.console import Console

    return Console()
