"""`connector` run inside this process on a project of a test's own."""

from pathlib import Path

from typer.testing import CliRunner, Result

from workflow.cli import app


def connector(project: Path, *arguments: str, state: Path | None = None) -> Result:
    """Exit code and what was printed; what kept the command from its work is in `exception`."""
    environment = {"CONNECTOR_PROJECT": str(project), "CONNECTOR_STATE": str(state or project / ".local")}
    return CliRunner().invoke(app, list(arguments), env=environment | {"COLUMNS": "200"})
