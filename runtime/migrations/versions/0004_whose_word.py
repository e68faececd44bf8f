"""Whose word a row is, where a grant on the table cannot say it; and what only goes up.

The worker records rehearsals, the portal approvals: a file of another name, though it counts for nothing, would stand
in the way of a connection. No UPDATE lowers a highest serial or the version of the held list of revocations, whoever
makes it; the tables' owner, who may do anything, would have to disable the trigger first.
"""

from typing import cast

import psycopg
from alembic import op

revision = "0004"
phase = "contract"
privileges = "1c6d96202d722a504623236f035a5593094ef22dae5cb3cad205ccead7f99c1c"
down_revision = "0003"
branch_labels = None
depends_on = None

REFUSED = """
CREATE FUNCTION connector.refused() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME;
END $$;
"""

STATEMENTS = """
CREATE TRIGGER by_its_signer BEFORE INSERT ON connector.statement FOR EACH ROW
    WHEN (current_user IN ('connector_worker', 'connector_portal') AND NOT (
        NEW.kind = CASE current_user WHEN 'connector_worker' THEN 'rehearsal' ELSE 'approval' END
        AND NEW.path ~ ('^approvals/[a-z0-9-]+/[a-z0-9-]+/' || NEW.kind || '-[a-z0-9-]+[.]json$')))
    EXECUTE FUNCTION connector.refused('the worker records rehearsals, the portal approvals');
"""

ONLY_UP = """
CREATE TRIGGER only_up BEFORE UPDATE ON connector.highest_serial FOR EACH ROW
    WHEN (NEW.serial < OLD.serial OR NEW.connection_id <> OLD.connection_id)
    EXECUTE FUNCTION connector.refused('highest_serial.serial only goes up');

CREATE TRIGGER only_up BEFORE UPDATE ON connector.revocation_list FOR EACH ROW
    WHEN (NEW.version < OLD.version)
    EXECUTE FUNCTION connector.refused('revocation_list.version only goes up');
"""


def upgrade() -> None:
    connection = cast(psycopg.Connection, op.get_bind().connection.driver_connection)
    for statements in (REFUSED, STATEMENTS, ONLY_UP):
        connection.execute(statements.encode())


def downgrade() -> None:
    raise NotImplementedError("restore the backup that was taken before the upgrade")
