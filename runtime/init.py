"""The init role: everything that must exist before application and worker start. Runs before each replica.

Owns the order, under one advisory lock: database roles, migrations, privileges, geography keys. Each step does nothing
where its work is done, so any number of replicas may run it. Replicas of the release before start again while the new
one takes over: where a newer release has been, migrations and privileges are its own, and stay.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
import stamina

from runtime.database import Connection, connection_parameters
from runtime.errors import DatabaseUnavailable, StartRefused, Unavailable
from runtime.grants import apply_grants, revoke_all
from runtime.http import HttpClients, open_clients
from runtime.keys import make_absent_keys
from runtime.logs import log
from runtime.managed_identity import DATABASE_AUDIENCE, ManagedIdentity
from runtime.migrations.running import upgrade
from runtime.settings import Settings
from runtime.vault import Vault
from schemas.handover import AUDITOR_DATABASE_ROLE

LOCK = 7_402_118_333_001
"""Any number that nothing else locks in the database `connector`."""

EXTENSION = "pgaudit"
"""Allowed by the server's parameters (`components/database.py`)."""

PATIENCE_SECONDS = 50.0
"""A fresh role assignment or administrator takes a while to be known everywhere."""


async def run_init(settings: Settings) -> None:
    """Prepare the geography. Raises `StartRefused`, `Unavailable` when patience ends."""
    http = open_clients(settings.handover.ca_bundle)
    try:
        async for attempt in stamina.retry_context(
            on=Unavailable, attempts=None, timeout=PATIENCE_SECONDS, wait_initial=0.3, wait_max=5.0
        ):
            with attempt:
                await prepare(settings, http)
    finally:
        await http.aclose()


async def prepare(settings: Settings, http: HttpClients) -> None:
    """One attempt."""
    identity = ManagedIdentity(settings.handover.managed_identity_client_id, http.msal)
    vault = Vault.at(settings.handover.key_vault_url, http, identity)
    password = {"password": await identity.token(DATABASE_AUDIENCE)}
    roles = parse_roles(settings.handover.database_roles)
    parameters = connection_parameters(settings) | password
    try:
        async with await _connect(parameters) as lock:
            await lock.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
            async with await _connect(connection_parameters(settings, "postgres") | password) as postgres:
                await create_roles(postgres, roles)
                left_over = await is_left_over(postgres, AUDITOR_DATABASE_ROLE, roles)
            await load_extension(lock)
            await lock.execute("CREATE SCHEMA IF NOT EXISTS connector")
            newest = await asyncio.to_thread(upgrade, parameters)
            async with lock.transaction():
                if newest:
                    await apply_grants(lock, frozenset(roles))
                if left_over:
                    await revoke_all(lock, AUDITOR_DATABASE_ROLE)
            label = f"{settings.geography}-{settings.stage}"
            made = await make_absent_keys(vault, datetime.now(UTC), label)
    except psycopg.OperationalError as e:
        raise DatabaseUnavailable(f"the database did not answer: {type(e).__name__}") from e
    for name in made:
        log.info("key made", name=name)
    if not newest:
        log.info("database-of-a-newer-release")
    log.info("prepared")


async def load_extension(connection: Connection) -> None:
    """pgAudit names what DDL changed only where its event triggers are in the database (pgAudit, "Settings").

    The emulated server does not bring it. Raises `StartRefused` where the server brings it and was not restarted since.
    """
    query = "SELECT 1 FROM pg_available_extensions WHERE name = %s"
    if await (await connection.execute(query, (EXTENSION,))).fetchone():
        try:
            await connection.execute(f"CREATE EXTENSION IF NOT EXISTS {EXTENSION}".encode())
        except psycopg.errors.ObjectNotInPrerequisiteState:
            reason = f"the database server has not preloaded {EXTENSION}"
            raise StartRefused(reason, "Restart the server once (docs/first-deployment.md, step 14).") from None


def parse_roles(value: str | None) -> dict[str, str]:
    """Database role to principal id. Raises `StartRefused`."""
    if not value:
        raise StartRefused("CONNECTOR_DATABASE_ROLES is absent", "components/ gives it to the init container.")
    return dict(pair.split("=", 1) for pair in value.split(","))


async def create_roles(postgres: Connection, roles: dict[str, str]) -> None:
    """Roles that identities, and the auditors' group, log in to.

    Azure Database for PostgreSQL, "Manage Microsoft Entra roles"; members of a group log in by the name of its role.
    """
    for role, principal_id in roles.items():
        known = await (await postgres.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))).fetchone()
        if known is None:
            kind = "group" if role == AUDITOR_DATABASE_ROLE else "service"
            await postgres.execute(
                "SELECT pgaadauth_create_principal_with_oid(%s, %s, %s, false, false)", (role, principal_id, kind)
            )
            log.info("role made", name=role)


async def is_left_over(postgres: Connection, role: str, roles: Mapping[str, str]) -> bool:
    """Whether a role is there, bound to nobody whom the configuration names (any more)."""
    query = "SELECT objectid::text FROM pgaadauth_list_principals(false) WHERE rolname = %s"
    found = await (await postgres.execute(query, (role,))).fetchone()
    if found is None or found[0] == roles.get(role):
        return False
    if role in roles:
        log.error(
            "role-of-another-principal", name=role
        )  # an Entra administrator of the server drops it, then init runs
    return True


async def _connect(parameters: dict[str, Any]) -> Connection:
    return await psycopg.AsyncConnection.connect(**parameters, autocommit=True)
