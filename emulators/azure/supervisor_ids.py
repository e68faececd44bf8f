"""Which process stands behind an ARM id: a server's children belong to the server."""

SERVERS = "/providers/microsoft.dbforpostgresql/flexibleservers/"


def server_of(arm_id: str) -> str | None:
    """The PostgreSQL server that an id is, or is nested in, in lower case.

    What another service assigns at a server, such as a diagnostic setting or a lock, is no part of it.
    """
    head, marker, tail = arm_id.lower().partition(SERVERS)
    return f"{head}{marker}{tail.split('/')[0]}" if marker and "/providers/" not in tail else None


def owner_of(arm_id: str) -> str:
    """The key of the resource whose process an id is about."""
    return server_of(arm_id) or arm_id.lower()
