"""What each database role may do with each table: the least that its code needs. Applied by init after migrating.

Owns the list as data; a test compares it with the tables that exist. Nobody but init may change audit rows or any
schema, and only an auditor reads audit rows. The worker sees of pending launches, tickets and sessions only when they
expire; the portal sees nothing of visits. Who was connected, that a call ended and what the EHR took are the worker's
word alone: a rehearsal rests on them.
"""

from dataclasses import dataclass, field

from psycopg import sql

from runtime.database import Connection
from schemas.handover import AUDITOR_DATABASE_ROLE

READ_WRITE = "SELECT, INSERT, UPDATE, DELETE"
EXPIRING = "SELECT (expires_at), DELETE"
ADVANCING = "SELECT, INSERT, UPDATE"
"""What only goes up, as a trigger sees to: the highest serials seen, and the list of revocations."""

BEGINNING = (
    "INSERT (visit_key, organization_id, connection_id, kind, state, sealed, purge_after, served_sha256, served_image)"
)
MOVING_ON = (
    "UPDATE (state, failure_code, sealed, organizer_begun_at, ended_at, preparing_until, patient_waiting_since,"
    " patient_seen_at, patient_ticket_hash, purge_after)"
)
"""Of a visit, what the application writes: never with what it was begun, once it is there, nor the call's end."""

RECORDING = "INSERT (action, organization_id, connection_id, actor, visit_key, detail)"
"""An audit row's content: its time, id and place in the chain are the database's own."""


@dataclass(frozen=True)
class RoleGrants:
    """Privileges by table; execution by function signature; whether it inserts rows that are numbered."""

    tables: dict[str, str]
    functions: tuple[str, ...] = field(default=())
    numbers: bool = True


GRANTS: dict[str, RoleGrants] = {
    "connector_application": RoleGrants(
        {
            "launch": "SELECT, INSERT, DELETE",
            "launch_used": "SELECT, INSERT",
            "ehr_user_link": "SELECT, INSERT, DELETE",
            "ticket": READ_WRITE,
            "session": "SELECT, INSERT, DELETE",
            "visit": f"SELECT, {BEGINNING}, {MOVING_ON}",
            "participant": "SELECT, UPDATE (party)",
            "subscription": "SELECT, INSERT, UPDATE",
            "notification": "SELECT, INSERT (subscription_id, event_hash, sealed)",
            "write_back": "SELECT",
            "audit": RECORDING,
            "statement": "SELECT",
            "highest_serial": "SELECT",
            "revocation_list": "SELECT",
            "procrastinate_jobs": "SELECT, INSERT, UPDATE",
            "procrastinate_events": "SELECT, INSERT",
            "procrastinate_periodic_defers": "SELECT, INSERT, UPDATE",
        }
    ),
    "connector_worker": RoleGrants(
        {
            "launch": EXPIRING,
            "launch_used": EXPIRING,
            "ticket": EXPIRING,
            "session": EXPIRING,
            "visit": READ_WRITE,
            "participant": READ_WRITE,
            "subscription": READ_WRITE,
            "notification": READ_WRITE,
            "write_back": READ_WRITE,
            "audit": RECORDING,
            "statement": "SELECT, INSERT",
            "highest_serial": ADVANCING,
            "revocation_list": ADVANCING,
            "portal_session": EXPIRING,
            "portal_flow": EXPIRING,
            "procrastinate_jobs": READ_WRITE,
            "procrastinate_events": READ_WRITE,
            "procrastinate_periodic_defers": READ_WRITE,
            "procrastinate_workers": READ_WRITE,
        },
        (
            "purge_audit(interval)",
            "chain_audit(integer)",
            "audit_end()",
            "audit_hash(bigint)",
            "record_audit_head(bigint, bytea)",
        ),
    ),
    "connector_portal": RoleGrants(
        {
            "portal_session": READ_WRITE,
            "portal_flow": READ_WRITE,
            "statement": "SELECT, INSERT, UPDATE (published_at)",
            "highest_serial": ADVANCING,
            "revocation_list": "SELECT",
            "audit": RECORDING,
        }
    ),
    AUDITOR_DATABASE_ROLE: RoleGrants({"audit": "SELECT"}, numbers=False),
}


async def revoke_all(connection: Connection, role: str) -> None:
    """Leave a role nothing, in the caller's transaction."""
    name = sql.Identifier(role)
    await connection.execute(sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA connector FROM {}").format(name))
    await connection.execute(sql.SQL("REVOKE ALL ON SCHEMA connector FROM {}").format(name))


async def apply_grants(connection: Connection, roles: frozenset[str]) -> None:
    """Set each role's privileges to exactly the list, in the caller's transaction."""
    for role in sorted(roles & GRANTS.keys()):
        name, grants = sql.Identifier(role), GRANTS[role]
        await revoke_all(connection, role)
        await connection.execute(sql.SQL("GRANT USAGE ON SCHEMA connector TO {}").format(name))
        if grants.numbers:
            await connection.execute(sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA connector TO {}").format(name))
        for table, privileges in grants.tables.items():
            await connection.execute(
                sql.SQL("GRANT {} ON {} TO {}").format(
                    sql.SQL(privileges),  # pyright: ignore[reportArgumentType] # a literal of this module
                    sql.Identifier("connector", table),
                    name,
                )
            )
        for signature in grants.functions:
            function, _, arguments = signature.partition("(")
            await connection.execute(
                sql.SQL("GRANT EXECUTE ON FUNCTION {}({}) TO {}").format(
                    sql.Identifier("connector", function),
                    sql.SQL(arguments.rstrip(")")),  # pyright: ignore[reportArgumentType]
                    name,
                )
            )
