"""What alembic runs: the revisions, over the one connection that `running.py` hands in, in one transaction."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table="alembic_version", version_table_schema="connector")
with context.begin_transaction():
    context.run_migrations()
