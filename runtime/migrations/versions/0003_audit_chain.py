"""The audit chain: a gapless sequence and two hashes for each row, and which heads of it are anchored.

The bytes that are hashed are those of `docs/audit.md`; `schemas/audit_chain.py` computes the same for the verifier.
Writers insert rows without them. `chain_audit`, one call at a time, gives them to rows that are committed, so that no
writer waits for another. The functions are all that the worker may do: it neither reads rows nor writes hashes.
"""

from typing import cast

import psycopg
from alembic import op

revision = "0003"
phase = "expand"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE connector.audit
    ADD COLUMN sequence bigint UNIQUE CHECK (sequence > 0),
    ADD COLUMN previous_hash bytea CHECK (octet_length(previous_hash) = 32),
    ADD COLUMN row_hash bytea CHECK (octet_length(row_hash) = 32),
    ADD CONSTRAINT audit_chained_wholly CHECK (num_nulls(sequence, previous_hash, row_hash) IN (0, 3));
CREATE INDEX audit_unchained ON connector.audit (id) WHERE sequence IS NULL;

CREATE TABLE connector.audit_head (
    sequence bigint PRIMARY KEY,
    row_hash bytea NOT NULL,
    anchored_at timestamptz NOT NULL DEFAULT now()
);
"""

CHAIN = r"""
CREATE FUNCTION connector.audit_field(field bytea) RETURNS bytea LANGUAGE sql IMMUTABLE SET search_path = pg_catalog
RETURN CASE WHEN field IS NULL THEN '\x00'::bytea ELSE '\x01'::bytea || int4send(octet_length(field)) || field END;

CREATE FUNCTION connector.chain_audit(most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    unchained record;
    last bigint;
    hash bytea;
    previous bytea;
    chained integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(7402118333003);
    SELECT a.sequence, a.row_hash INTO last, hash
        FROM connector.audit a WHERE a.sequence IS NOT NULL ORDER BY a.sequence DESC LIMIT 1;
    IF last IS NULL THEN
        last := 0;
        hash := decode(repeat('00', 32), 'hex');
    END IF;
    FOR unchained IN SELECT a.* FROM connector.audit a WHERE a.sequence IS NULL ORDER BY a.id LIMIT most LOOP
        last := last + 1;
        previous := hash;
        hash := sha256(
            'teams-ehr-connector/audit/1'::bytea || '\x00'::bytea || previous
            || connector.audit_field(int8send(last))
            || connector.audit_field(int8send(unchained.id))
            || connector.audit_field(int8send((extract(epoch FROM unchained.at) * 1000000)::bigint))
            || connector.audit_field(convert_to(unchained.action, 'UTF8'))
            || connector.audit_field(convert_to(unchained.organization_id, 'UTF8'))
            || connector.audit_field(convert_to(unchained.connection_id, 'UTF8'))
            || connector.audit_field(unchained.actor)
            || connector.audit_field(unchained.visit_key)
            || connector.audit_field(convert_to(unchained.detail, 'UTF8')));
        UPDATE connector.audit a SET sequence = last, previous_hash = previous, row_hash = hash
            WHERE a.id = unchained.id;
        chained := chained + 1;
    END LOOP;
    RETURN chained;
END $$;
"""

HEADS = """
CREATE FUNCTION connector.audit_end(OUT sequence bigint, OUT row_hash bytea, OUT anchored bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
    SELECT a.sequence, a.row_hash, (SELECT max(h.sequence) FROM connector.audit_head h)
    FROM connector.audit a WHERE a.sequence IS NOT NULL ORDER BY a.sequence DESC LIMIT 1
$$;

CREATE FUNCTION connector.audit_hash(wanted bigint) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$ SELECT a.row_hash FROM connector.audit a WHERE a.sequence = wanted $$;

CREATE FUNCTION connector.record_audit_head(anchored bigint, hash bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
AS $$
    INSERT INTO connector.audit_head (sequence, row_hash)
    SELECT a.sequence, a.row_hash FROM connector.audit a WHERE a.sequence = anchored AND a.row_hash = hash
    ON CONFLICT DO NOTHING
$$;
"""

PURGE = """
CREATE OR REPLACE FUNCTION connector.purge_audit(older_than interval) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    before timestamptz := now() - older_than;
    kept bigint;
    last bigint;
    gone bigint;
BEGIN
    IF older_than < interval '1 year' THEN
        RAISE EXCEPTION 'audit rows are kept for a year at least';
    END IF;
    PERFORM pg_advisory_xact_lock(7402118333003);
    SELECT min(a.sequence) INTO kept FROM connector.audit a WHERE a.sequence IS NOT NULL AND a.at >= before;
    SELECT least(kept, max(a.sequence)) INTO kept FROM connector.audit a;
    SELECT max(h.sequence) INTO last
        FROM connector.audit_head h JOIN connector.audit a ON a.sequence = h.sequence AND a.row_hash = h.row_hash
        WHERE h.sequence < kept AND h.anchored_at < before;
    DELETE FROM connector.audit a WHERE a.sequence <= last;
    GET DIAGNOSTICS gone = ROW_COUNT;
    DELETE FROM connector.audit_head h WHERE h.sequence <= last;
    RETURN gone;
END $$;
"""

PRIVATE = """
REVOKE ALL ON FUNCTION connector.audit_field(bytea), connector.chain_audit(integer), connector.audit_end(),
    connector.audit_hash(bigint), connector.record_audit_head(bigint, bytea) FROM PUBLIC;
"""


def upgrade() -> None:
    connection = cast(psycopg.Connection, op.get_bind().connection.driver_connection)
    for statements in (TABLES, CHAIN, HEADS, PURGE, PRIVATE):
        connection.execute(statements.encode())


def downgrade() -> None:
    raise NotImplementedError("restore the backup that was taken before the upgrade")
