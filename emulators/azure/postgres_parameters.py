"""Which server parameters are real settings of the embedded PostgreSQL, and which only Azure's service has."""

_PREFIXES = (
    "azure.",
    "connection_throttle.",
    "pgaudit.",
    "logfiles.",
    "metrics.",
    "pgbouncer.",
    "intelligent_tuning.",
    "pg_qs.",
)
_NAMES = frozenset(
    {
        "require_secure_transport",
        "shared_preload_libraries",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
    }
)
STATIC = frozenset({"shared_preload_libraries", "max_connections", "shared_buffers"})
"""What the service takes up when the server is started anew ("List read-write static server parameters"), as far as it
is set here."""

PLATFORM = frozenset(
    {
        "port",
        "listen_addresses",
        "unix_socket_directories",
        "fsync",
        "data_directory",
        "hba_file",
        "password_encryption",
    }
)
"""What no customer of the service may set."""


def recorded_only(name: str) -> bool:
    """Parameters of Azure's service, or of parts that the embedded server is built without: ARM state and no more."""
    return name.lower() in _NAMES or name.lower().startswith(_PREFIXES)
