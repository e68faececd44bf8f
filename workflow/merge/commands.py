"""`connector merge check` and `connector merge post`: their options and exit codes.

`check` runs with a token that reads, on a checkout of the base revision, and writes what it found; `post` runs with the
gate app's key and reads nothing but that. Tokens and keys come from the environment, never from an option.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

merge = typer.Typer(
    name="merge",
    help="The pull request gate: whether a pull request may be merged, judged by the base revision.",
    no_args_is_help=True,
)

Repository = Annotated[str, typer.Option(help="OWNER/NAME at GitHub.")]
ApiUrl = Annotated[str, typer.Option(help="Where GitHub's REST API is.")]
AppId = Annotated[int, typer.Option(help="The id of the gate's own GitHub App.")]
TOKEN, KEY = "GITHUB_TOKEN", "CONNECTOR_GATE_KEY"
GITHUB, API = "https://github.com", "https://api.github.com"


@merge.command()
def check(
    repository: Repository,
    app_id: AppId,
    pull_request: Annotated[int, typer.Option(min=1, help="Its number.")],
    stack: Annotated[list[str], typer.Option(help="A production stack that the gate guards; may be given again.")],
    report: Annotated[Path | None, typer.Option(help="Where to write what was found, as JSON.")] = None,
    preview: Annotated[bool, typer.Option(help="Preview with the head's configuration, without credentials.")] = False,
    api_url: ApiUrl = API,
    remote: Annotated[str | None, typer.Option(help="The repository, where it is not at GitHub.")] = None,
) -> None:
    """Judge a pull request from a checkout of its base revision; 1 where something keeps it back."""
    from workflow.merge.run import Run, http_client
    from workflow.project import current

    with http_client(api_url) as http:
        run = Run(current(), http, repository, _secret(TOKEN), app_id, stack, remote or f"{GITHUB}/{repository}.git")
        found = run.check(pull_request, preview=preview, report=report, say=print)
    if not found:
        raise typer.Exit(1)


@merge.command()
def post(
    repository: Repository,
    report: Annotated[Path, typer.Option(help="What `check` wrote.")],
    app_id: AppId,
    installation_id: Annotated[int, typer.Option(help="The id of its installation.")],
    api_url: ApiUrl = API,
) -> None:
    """Post what `check` found as check runs, as the gate's app."""
    from workflow.merge.app_token import app_token
    from workflow.merge.run import http_client, post_report

    may = {"checks": "write"}
    key = _secret(KEY)
    with http_client(api_url) as http, app_token(http, app_id, installation_id, key, repository, may) as token:
        post_report(http, repository, token, report, say=print)


@merge.command()
def find(
    repository: Repository,
    commit: Annotated[str, typer.Option(help="A commit's full id.")],
    api_url: ApiUrl = API,
) -> None:
    """Print the number of the open pull request whose newest commit it is; nothing where there is none."""
    from workflow.merge.github import GitHub
    from workflow.merge.run import http_client

    with http_client(api_url) as http:
        for number in GitHub(http, repository, _secret(TOKEN)).open_pulls_of(commit)[:1]:
            print(number)


def _secret(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise typer.BadParameter(f"expected it in {name}")
    return value
