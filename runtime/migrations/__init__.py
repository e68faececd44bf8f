"""The database's schema, as alembic revisions of hand-written SQL, and how they are run."""
