"""Bringing a database to the newest revision. Init alone calls this, under its advisory lock."""

from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import NullPool, create_engine


def upgrade(parameters: dict[str, Any]) -> None:
    """Apply what is missing, all or nothing. `parameters` are libpq's, password included."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(**parameters), poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    engine.dispose()
