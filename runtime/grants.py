"""What each database role may do with each table: the least that its code needs. Applied by init after migrating.

Owns the list as data; a test compares it with the tables that exist. Nobody but init may read or change audit rows, nor
change any schema. The worker sees of pending launches, tickets and sessions only when they expire.
"""

from dataclasses import dataclass, field

from psycopg import sql

from runtime.database import Connection

READ_WRITE = "SELECT, INSERT, UPDATE, DELETE"
EXPIRING = "SELECT (expires_at), DELETE"


@dataclass(frozen=True)
class RoleGrants:
    """Privileges by table; execution by function signature."""

    tables: dict[str, str]
    functions: tuple[str, ...] = field(default=())


GRANTS: dict[str, RoleGrants] = {
    "connector_application": RoleGrants(
        {
            "launch": "SELECT, INSERT, DELETE",
            "launch_used": "SELECT, INSERT",
            "ehr_user_link": "SELECT, INSERT, DELETE",
            "ticket": READ_WRITE,
            "session": "SELECT, INSERT, DELETE",
            "visit": "SELECT, INSERT, UPDATE",
            "participant": "SELECT, INSERT, UPDATE",
            "subscription": "SELECT, INSERT, UPDATE",
            "notification": "SELECT, INSERT, UPDATE",
            "write_back": "SELECT, INSERT, UPDATE",
            "audit": "INSERT",
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
            "audit": "INSERT",
            "procrastinate_jobs": READ_WRITE,
            "procrastinate_events": READ_WRITE,
            "procrastinate_periodic_defers": READ_WRITE,
            "procrastinate_workers": READ_WRITE,
        },
        ("purge_audit(interval)",),
    ),
}


async def apply_grants(connection: Connection, roles: frozenset[str]) -> None:
    """Set each role's privileges to exactly the list, in the caller's transaction."""
    for role in sorted(roles & GRANTS.keys()):
        name, grants = sql.Identifier(role), GRANTS[role]
        for statement in (
            "REVOKE ALL ON ALL TABLES IN SCHEMA connector FROM {}",
            "REVOKE ALL ON SCHEMA connector FROM {}",
            "GRANT USAGE ON SCHEMA connector TO {}",
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA connector TO {}",
        ):
            await connection.execute(sql.SQL(statement).format(name))
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
