"""An embedded PostgreSQL for tests: a real server of its own, prepared by the runtime's init, a database a test.

Owns the server's process (started, stopped and killed by its pid) and the stand-ins for Entra's part: the `pgaadauth_*`
functions of the emulated Azure, and one password for every role. Databases are copied from the one that init prepared.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from emulators.azure.postgres import BINARIES, CONFIGURATION, ENTRA, HBA, SUPERUSER, UNPRIVILEGED, privileges
from tests.support.ports import free_port

INIT, APPLICATION, WORKER = "connector_init", "connector_application", "connector_worker"
PORTAL = "connector_portal"
INIT_PRINCIPAL = "6e6e6e6e-0000-4000-8000-000000000001"
APPLICATION_PRINCIPAL = "6e6e6e6e-0000-4000-8000-000000000002"
WORKER_PRINCIPAL = "6e6e6e6e-0000-4000-8000-000000000003"
PORTAL_PRINCIPAL = "6e6e6e6e-0000-4000-8000-000000000004"
ROLES = {APPLICATION: APPLICATION_PRINCIPAL, WORKER: WORKER_PRINCIPAL, PORTAL: PORTAL_PRINCIPAL}
PASSWORD = "a-token-of-the-managed-identity"
TEMPLATE = "connector"
_EMPTY = """DO $$ DECLARE found text; BEGIN
    FOR found IN SELECT tablename FROM pg_tables WHERE schemaname = 'connector' AND tablename <> 'alembic_version' LOOP
        EXECUTE format('DELETE FROM connector.%I', found);
    END LOOP; END $$"""
_LETTERS = "abcdefghij"


@dataclass
class PostgresServer:
    """A running server."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    _numbers: "count[int]" = field(default_factory=count)

    def start(self) -> None:
        command = [*privileges(), str(BINARIES / "postgres"), "-D", str(self.folder), "-p", str(self.port)]
        environment = {"LANG": "C.UTF-8", "PATH": os.environ.get("PATH", "")}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd="/", stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                self.administrator().close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError((self.folder / "server.log").read_text()) from None
                time.sleep(0.03)

    def stop(self, kill: bool = False) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGINT)
            self.process.wait(20)
            self.process = None

    def backup(self) -> Path:
        """A copy of everything as it is now, roles included, to start a server from; its owner removes it."""
        folder = Path(tempfile.mkdtemp(prefix="connector-postgres-"))
        folder.rmdir()
        self.stop()
        subprocess.run(["cp", "-a", str(self.folder), str(folder)], check=True)
        self.start()
        return folder

    def administrator(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """The superuser, in autocommit."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, user=SUPERUSER, dbname=database, autocommit=True, connect_timeout=3
        )

    def url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def new_database(self, template: str = TEMPLATE) -> str:
        """A copy of the prepared database."""
        name = "copy_" + "".join(_LETTERS[int(digit)] for digit in str(next(self._numbers)))
        with self.administrator() as connection:
            connection.execute(f'CREATE DATABASE {name} TEMPLATE "{template}" OWNER azure_pg_admin'.encode())
        return name

    def empty(self, database: str) -> None:
        """Every row of ours gone."""
        with self.administrator(database) as connection:
            connection.execute("SET search_path = connector")
            connection.execute(_EMPTY.encode())

    def dump(self, database: str) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table of ours, `bytea` as bytes."""
        with self.administrator(database) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'connector'").fetchall()
            return {
                name: connection.execute(f"SELECT * FROM connector.{name}".encode()).fetchall() for (name,) in tables
            }


@contextmanager
def restored(backup: Path) -> Generator[PostgresServer]:
    """A new server, at another address, from a backup."""
    server = PostgresServer(backup, free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(backup, ignore_errors=True)


@contextmanager
def running_postgres() -> Generator[PostgresServer]:
    """A server with an empty database `connector`, its Entra administrator `connector_init`, and `pgaadauth_*`."""
    folder = Path(tempfile.mkdtemp(prefix="connector-postgres-"))
    try:
        if os.getuid() == 0:
            os.chown(folder, UNPRIVILEGED, UNPRIVILEGED)
        options = ["--auth=reject", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        command = [*privileges(), str(BINARIES / "initdb"), "-D", str(folder), "-U", SUPERUSER, *options]
        made = subprocess.run(command, cwd="/", capture_output=True)
        assert made.returncode == 0, made.stderr.decode()
        with (folder / "postgresql.conf").open("a") as file:
            file.write(CONFIGURATION + "\nsynchronous_commit = on\n")  # what is committed survives a kill
        (folder / "pg_hba.conf").write_text(HBA)
        server = PostgresServer(folder, free_port())
        server.start()
        try:
            with server.administrator() as connection:
                connection.execute(ENTRA.encode())
                connection.execute(
                    "SELECT pgaadauth_create_principal_with_oid(%s, %s, 'service', true, false)", (INIT, INIT_PRINCIPAL)
                )
                connection.execute(f"CREATE DATABASE {TEMPLATE} OWNER azure_pg_admin TEMPLATE template0".encode())
                give_password(connection, INIT)
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def give_password(administrator: psycopg.Connection[Any], *roles: str) -> None:
    """What Azure does when an identity's token is a role's password."""
    for role in roles:
        administrator.execute(f"ALTER ROLE {role} PASSWORD '{PASSWORD}'".encode())
