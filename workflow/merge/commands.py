"""`connector merge check`, `post` and `bring`: their options and exit codes.

`check` runs with a token that reads, on a checkout of the base revision, and writes what it found; `post` runs with the
gate app's key and reads nothing but that; `bring` runs before an update, on a checkout of what was merged. Tokens and
keys come from the environment, never from an option.
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
    stack: Annotated[list[str], typer.Option(help="A production stack that the gate guards; may be given again.")],
    pull_request: Annotated[
        int | None, typer.Option(min=1, help="Its number; all open ones of the default branch where none.")
    ] = None,
    reports: Annotated[Path | None, typer.Option(help="A new folder for what was found, as JSON.")] = None,
    preview: Annotated[bool, typer.Option(help="Preview with the head's configuration, without credentials.")] = False,
    api_url: ApiUrl = API,
    remote: Annotated[str | None, typer.Option(help="The repository, where it is not at GitHub.")] = None,
) -> None:
    """Judge pull requests from a checkout of their base revision; 1 where something keeps one back."""
    from workflow.merge.run import Run, http_client, write_reports
    from workflow.project import current

    with http_client(api_url) as http:
        run = Run(current(), http, repository, _secret(TOKEN), app_id, stack, remote or f"{GITHUB}/{repository}.git")
        if pull_request is None:
            found = run.check_all(preview=preview, say=print)
        else:
            found = [run.check(pull_request, preview=preview, say=print)]
    if reports is not None:
        write_reports(found, reports)
    if not all(report["passes"] for report in found):
        raise typer.Exit(1)


@merge.command()
def post(
    repository: Repository,
    reports: Annotated[Path, typer.Option(help="The folder that `check` wrote.")],
    app_id: AppId,
    installation_id: Annotated[int, typer.Option(help="The id of its installation.")],
    api_url: ApiUrl = API,
) -> None:
    """Post what `check` found as check runs, as the gate's app."""
    from workflow.merge.app_token import app_token
    from workflow.merge.run import http_client, post_reports

    may = {"checks": "write"}
    key = _secret(KEY)
    with http_client(api_url) as http, app_token(http, app_id, installation_id, key, repository, may) as token:
        post_reports(http, repository, token, reports, say=print)


@merge.command()
def bring(
    repository: Repository,
    stack: Annotated[list[str], typer.Option(help="A stack that is to be updated; may be given again.")],
    remote: Annotated[str | None, typer.Option(help="The repository, where it is not at GitHub.")] = None,
) -> None:
    """Bring into this checkout what was published and takes an approval away, so that an update decides by it."""
    from workflow.merge.bringing import bring as brought
    from workflow.project import current

    for path in brought(current(), remote or f"{GITHUB}/{repository}.git", _secret(TOKEN), stack):
        print(f"brought {path}")


def _secret(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise typer.BadParameter(f"expected it in {name}")
    return value
