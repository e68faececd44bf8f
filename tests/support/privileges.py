"""What a database role may do, tried as that role."""

from typing import Any

import psycopg
from psycopg import errors

from runtime.database import connection_parameters
from tests.support.connector import settings_for
from tests.support.postgres import PASSWORD, PostgresServer


def login(server: PostgresServer, role: str, database: str) -> psycopg.Connection[Any]:
    """As the role logs in, in autocommit."""
    parameters: dict[str, Any] = connection_parameters(settings_for(server, database, role)) | {"password": PASSWORD}
    return psycopg.connect(**parameters, autocommit=True)


def may(connection: psycopg.Connection[Any], statement: str) -> bool:
    """Whether the role has the privilege. Raises what else refuses it."""
    try:
        connection.execute(statement.encode())
    except errors.InsufficientPrivilege:
        return False
    return True
