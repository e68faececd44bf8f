"""The tables of launches, identity, visits and write-backs, and the job queue.

Rules of every table: no names, no record numbers, no patient or session ids and no URLs in clear; what must be kept
is sealed (`bytea`), what must be found is hashed. Pending rows have `expires_at`, visits `purge_after`: `purge.py`.
"""

from typing import cast

import psycopg
from alembic import op
from procrastinate.schema import SchemaManager

revision = "0001"
phase = "expand"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE connector.launch (
    state_hash bytea PRIMARY KEY,
    sealed bytea NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX launch_expires ON connector.launch (expires_at);

CREATE TABLE connector.launch_used (
    launch_hash bytea PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX launch_used_expires ON connector.launch_used (expires_at);

CREATE TABLE connector.ehr_user_link (
    ehr_user_hash bytea PRIMARY KEY,
    connection_id text NOT NULL,
    tenant_id uuid NOT NULL,
    object_id uuid NOT NULL,
    linked_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (connection_id, tenant_id, object_id)
);

CREATE TABLE connector.ticket (
    window_hash bytea PRIMARY KEY,
    ticket_hash bytea UNIQUE,
    sign_in_hash bytea UNIQUE,
    state text NOT NULL CHECK (state IN ('waiting', 'opened', 'returned', 'signed-in')),
    refusal_code text,
    sealed bytea NOT NULL,
    sealed_sign_in bytea,
    expires_at timestamptz NOT NULL
);
CREATE INDEX ticket_expires ON connector.ticket (expires_at);

CREATE TABLE connector.session (
    session_hash bytea PRIMARY KEY,
    party text NOT NULL CHECK (party IN ('provider', 'patient')),
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX session_expires ON connector.session (expires_at);

CREATE TABLE connector.visit (
    visit_key bytea PRIMARY KEY CHECK (octet_length(visit_key) = 32),
    organization_id text NOT NULL,
    connection_id text NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    failure_code text,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    organizer_begun_at timestamptz,
    preparing_until timestamptz,
    patient_waiting_since timestamptz,
    patient_seen_at timestamptz,
    patient_ticket_hash bytea,
    call_ended_at timestamptz,
    ended_at timestamptz,
    purge_after timestamptz NOT NULL
);
CREATE INDEX visit_purge ON connector.visit (purge_after);
CREATE INDEX visit_ticket ON connector.visit (patient_ticket_hash) WHERE patient_ticket_hash IS NOT NULL;

CREATE TABLE connector.participant (
    visit_key bytea NOT NULL REFERENCES connector.visit ON DELETE CASCADE,
    participant_hash bytea NOT NULL,
    person_hash bytea,
    party text NOT NULL CHECK (party IN ('staff', 'patient')),
    presence text NOT NULL CHECK (presence IN ('waiting', 'connected', 'left')),
    since timestamptz NOT NULL,
    event_time timestamptz NOT NULL,
    ever_connected boolean NOT NULL DEFAULT false,
    PRIMARY KEY (visit_key, participant_hash)
);

CREATE TABLE connector.subscription (
    id uuid PRIMARY KEY,
    visit_key bytea NOT NULL UNIQUE REFERENCES connector.visit ON DELETE CASCADE,
    path_hash bytea NOT NULL UNIQUE,
    sealed bytea NOT NULL,
    graph_id text,
    expires_at timestamptz,
    missed_at timestamptz
);
CREATE INDEX subscription_expires ON connector.subscription (expires_at);

CREATE TABLE connector.notification (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription_id uuid NOT NULL REFERENCES connector.subscription ON DELETE CASCADE,
    event_hash bytea NOT NULL UNIQUE,
    sealed bytea,
    received_at timestamptz NOT NULL DEFAULT now(),
    processed_at timestamptz
);
CREATE INDEX notification_subscription ON connector.notification (subscription_id);

CREATE TABLE connector.write_back (
    id uuid PRIMARY KEY,
    visit_key bytea NOT NULL REFERENCES connector.visit ON DELETE CASCADE,
    sequence integer NOT NULL,
    sealed bytea,
    state text NOT NULL CHECK (state IN ('pending', 'delivered', 'dead', 'unsupported')),
    attempts integer NOT NULL DEFAULT 0,
    last_error_code text,
    created_at timestamptz NOT NULL DEFAULT now(),
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    UNIQUE (visit_key, sequence)
);
CREATE INDEX write_back_pending ON connector.write_back (visit_key) WHERE state = 'pending';

CREATE TABLE connector.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    action text NOT NULL,
    organization_id text,
    connection_id text,
    actor bytea,
    visit_key bytea,
    detail text
);
CREATE INDEX audit_at ON connector.audit (at);
"""

PURGE_AUDIT = """
CREATE FUNCTION connector.purge_audit(older_than interval) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE gone bigint;
BEGIN
    IF older_than < interval '1 year' THEN
        RAISE EXCEPTION 'audit rows are kept for a year at least';
    END IF;
    DELETE FROM connector.audit WHERE at < now() - older_than;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;
REVOKE ALL ON FUNCTION connector.purge_audit(interval) FROM PUBLIC;
"""


def upgrade() -> None:
    connection = cast(psycopg.Connection, op.get_bind().connection.driver_connection)
    for statements in (TABLES, PURGE_AUDIT, SchemaManager.get_schema()):
        connection.execute(statements.encode())  # as they are: no parameters, so no meaning for a percent sign


def downgrade() -> None:
    raise NotImplementedError("restore the backup that was taken before the upgrade")
