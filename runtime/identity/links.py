"""The link between an EHR user (keyed hash) and a Microsoft account: one to one within a connection.

Owns the table `ehr_user_link`. Its two unique keys decide between sign-ins that finish at once. A link is kept until
it is taken away; only one to an account of another tenant than the organisation's, which is good for nothing, is
replaced.
"""

from dataclasses import dataclass

from runtime.database import Connection
from runtime.errors import Refusal
from runtime.identity import refusals


@dataclass(frozen=True)
class Account:
    """A Microsoft account, by tenant and object id."""

    tenant_id: str
    object_id: str


async def linked_account(connection: Connection, ehr_user_hash: bytes) -> Account | None:
    cursor = await connection.execute(
        "SELECT tenant_id, object_id FROM connector.ehr_user_link WHERE ehr_user_hash = %s", (ehr_user_hash,)
    )
    row = await cursor.fetchone()
    return Account(str(row[0]), str(row[1])) if row else None


async def conflict(
    connection: Connection, ehr_user_hash: bytes, connection_id: str, account: Account
) -> Refusal | None:
    """Why these two may not be linked, if anything stands against it. `account` is of the organisation's tenant."""
    linked = await linked_account(connection, ehr_user_hash)
    if linked is not None and linked.tenant_id == account.tenant_id:
        return None if linked == account else refusals.USER_TAKEN
    cursor = await connection.execute(
        "SELECT 1 FROM connector.ehr_user_link WHERE connection_id = %s AND tenant_id = %s AND object_id = %s",
        (connection_id, account.tenant_id, account.object_id),
    )
    return refusals.ACCOUNT_TAKEN if await cursor.fetchone() else None


async def unlink_other_tenant(connection: Connection, ehr_user_hash: bytes, tenant_id: str) -> bool:
    """Take a link away that the organisation's change of tenant left behind; whether there was one."""
    cursor = await connection.execute(
        "DELETE FROM connector.ehr_user_link WHERE ehr_user_hash = %s AND tenant_id <> %s", (ehr_user_hash, tenant_id)
    )
    return cursor.rowcount == 1


async def link(connection: Connection, ehr_user_hash: bytes, connection_id: str, account: Account) -> Refusal | None:
    """Link the two in the caller's transaction, unless one of them is linked elsewhere."""
    await connection.execute(
        "INSERT INTO connector.ehr_user_link (ehr_user_hash, connection_id, tenant_id, object_id)"
        " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (ehr_user_hash, connection_id, account.tenant_id, account.object_id),
    )
    return await conflict(connection, ehr_user_hash, connection_id, account)
