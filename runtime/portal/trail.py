"""Audit rows of the portal: people as keyed hashes, as everywhere in the audit."""

import hmac

from runtime.audit import Action, AuditRow
from runtime.bootstrap import Services
from runtime.configuration import Served
from runtime.database import Connection
from runtime.identity.links import Account


def actor_of(services: Services, account: Account) -> bytes:
    """HMAC-SHA256 over length-prefixed fields, with the geography's key for hashes of people."""
    fields = [part.encode() for part in ("portal-account/1", account.tenant_id, account.object_id)]
    message = b"".join(len(f).to_bytes(8, "big") + f for f in fields)
    return hmac.digest(services.keys.user_hash_hmac, message, "sha256")


async def record(
    services: Services,
    connection: Connection,
    action: Action,
    account: Account,
    served: Served | None = None,
    detail: str | None = None,
) -> None:
    """In the caller's transaction. `detail` is a code of ours."""
    organization_id, connection_id = (served.organization.id, served.connection.id) if served else (None, None)
    row = AuditRow(action, organization_id, connection_id, actor_of(services, account), detail=detail)
    await services.audit.record(connection, row)
