"""Preparations that nobody is at any more are found without reading every visit: the worker looks every few seconds."""

from alembic import op

revision = "0005"
phase = "expand"
privileges = "1c6d96202d722a504623236f035a5593094ef22dae5cb3cad205ccead7f99c1c"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX visit_preparing ON connector.visit (preparing_until) WHERE preparing_until IS NOT NULL")


def downgrade() -> None:
    raise NotImplementedError("restore the backup that was taken before the upgrade")
