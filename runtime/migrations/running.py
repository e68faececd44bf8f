"""Bringing a database to the newest revision that this release knows. Init alone calls this, under its advisory lock.

Revisions are numbered and follow one another. A database that a newer release has been at is left as it is: expand
steps leave this release's statements working, and contract steps wait until it is gone (`docs/migrations.md`).
"""

from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import OperationalError

from runtime.errors import DatabaseUnavailable, StartRefused

LOCK_SECONDS = 5
"""How long a step waits for a table's lock: whoever comes after it waits behind it, and visits go on meanwhile."""


def upgrade(parameters: dict[str, Any]) -> bool:
    """Apply what is missing, all or nothing; False where a newer release has been here.

    `parameters` are libpq's, password included. Raises `StartRefused` where the revision is no release's of ours, and
    `DatabaseUnavailable` where a table's lock cannot be had in time.
    """
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(**parameters), poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table_schema": "connector"})
        ours = _is_ours(ScriptDirectory.from_config(config), context.get_current_revision())
        if ours:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except (OperationalError, psycopg.OperationalError) as e:
                raise DatabaseUnavailable(f"the migration did not pass: {type(e).__name__}") from e
            connection.commit()
    engine.dispose()
    return ours


def _is_ours(scripts: ScriptDirectory, revision: str | None) -> bool:
    """Whether this release knows a database's revision; one with a higher number is a newer release's."""
    newest = scripts.get_current_head() or ""
    if revision is None or any(script.revision == revision for script in scripts.walk_revisions()):
        return True
    if revision.isdecimal() and len(revision) == len(newest) and revision > newest:
        return False
    raise StartRefused(
        f"expected a database at revision {newest}, before or after it, got {revision}",
        "This database is another program's, or was changed by hand: restore it (docs/restore.md).",
    )
