"""The tables of promotion: statements, highest serials, the list of revocations, the portal's sessions and sign-ins.

Statements and lists are in clear: signed, and as public as the repository that they come from and go to. A visit
remembers with which configuration and image it was begun, for its rehearsal.
"""

from typing import cast

import psycopg
from alembic import op

revision = "0002"
phase = "expand"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE connector.statement (
    path text PRIMARY KEY,
    organization_id text NOT NULL,
    connection_id text NOT NULL,
    kind text NOT NULL,
    content text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz
);
CREATE INDEX statement_unpublished ON connector.statement (recorded_at) WHERE published_at IS NULL;

CREATE TABLE connector.highest_serial (
    connection_id text PRIMARY KEY,
    serial integer NOT NULL CHECK (serial > 0)
);

CREATE TABLE connector.revocation_list (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    content text NOT NULL,
    version integer NOT NULL,
    held_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE connector.portal_session (
    session_hash bytea PRIMARY KEY,
    sealed bytea NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX portal_session_expires ON connector.portal_session (expires_at);

CREATE TABLE connector.portal_flow (
    flow_hash bytea PRIMARY KEY,
    sealed bytea NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX portal_flow_expires ON connector.portal_flow (expires_at);

ALTER TABLE connector.visit ADD COLUMN served_sha256 text, ADD COLUMN served_image text;
"""


def upgrade() -> None:
    connection = cast(psycopg.Connection, op.get_bind().connection.driver_connection)
    connection.execute(TABLES.encode())


def downgrade() -> None:
    raise NotImplementedError("restore the backup that was taken before the upgrade")
