"""The database's schema as PostgreSQL tells it, and what a step from one to another takes from who still runs.

Owns reading the catalogue of the schema `connector` and the two judgements of `docs/migrations.md`: what an expand step
must not do, and what a contract step must not remove. Leaves out what is meant; that is a review's.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import NullPool, create_engine

import runtime
from runtime.database import connection_parameters
from runtime.migrations import versions
from tests.support.connector import settings_for
from tests.support.postgres import INIT, PASSWORD, PostgresServer

RUNTIME = Path(runtime.__path__[0])
VERSIONS = Path(versions.__path__[0])
SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|GRANT|LOCK|NOTIFY|LISTEN)\b")

COLUMNS = """SELECT table_name, column_name, udt_name, is_nullable = 'YES',
    column_default IS NOT NULL OR is_identity = 'YES' OR is_generated = 'ALWAYS'
    FROM information_schema.columns WHERE table_schema = 'connector'"""
CONSTRAINTS = """SELECT c.relname, k.conname, k.contype::text, pg_get_constraintdef(k.oid),
    array(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (k.conkey))
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'connector' AND k.contype <> 'n'"""
UNIQUE = """SELECT t.relname, i.relname, 'i', pg_get_indexdef(i.oid),
    array(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = ANY (x.indkey))
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE n.nspname = 'connector' AND x.indisunique
    AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.oid)"""
TRIGGERS = """SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid)
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'connector' AND NOT t.tgisinternal"""
FUNCTIONS = """SELECT p.proname, pg_get_function_identity_arguments(p.oid), pg_get_function_result(p.oid)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'connector'"""


@dataclass(frozen=True)
class Column:
    type: str
    nullable: bool
    filled: bool
    """Whether the database has a value where a statement gives none."""


@dataclass(frozen=True)
class Rule:
    """A constraint or a unique index."""

    kind: str
    definition: str
    columns: frozenset[str]


@dataclass(frozen=True)
class Schema:
    """What a statement can meet."""

    columns: dict[tuple[str, str], Column]
    rules: dict[tuple[str, str], Rule]
    triggers: dict[tuple[str, str], str]
    functions: dict[tuple[str, str], str]

    @property
    def tables(self) -> set[str]:
        return {table for table, _ in self.columns}


def read(connection: psycopg.Connection[Any]) -> Schema:
    def rows(query: str) -> list[tuple[Any, ...]]:
        return connection.execute(query.encode()).fetchall()

    return Schema(
        {(t, c): Column(*kind) for t, c, *kind in rows(COLUMNS)},
        {(t, name): Rule(kind, text, frozenset(cs)) for t, name, kind, text, cs in rows(CONSTRAINTS) + rows(UNIQUE)},
        {(t, name): text for t, name, text in rows(TRIGGERS)},
        {(name, arguments): result for name, arguments, result in rows(FUNCTIONS)},
    )


# --- judging a step -----------------------------------------------------------------------------------------------


def narrowed(before: Schema, after: Schema) -> list[str]:
    """What the release before would stumble over: an expand step has none of it."""
    found = [f"removes {name}" for name in removed(before, after)]
    for (table, column), now in after.columns.items():
        was = before.columns.get((table, column))
        if was is None and table in before.tables and not (now.nullable or now.filled):
            found.append(f"adds {table}.{column} without a default, which no older INSERT gives")
        if was is not None and was.type != now.type:
            found.append(f"makes {table}.{column} {now.type}, was {was.type}")
        if was is not None and (was.nullable or was.filled) and not (now.nullable or now.filled):
            found.append(f"demands {table}.{column}")
    for (table, name), rule in after.rules.items():
        new = all((table, column) not in before.columns for column in rule.columns)
        if table in before.tables and not new and before.rules.get((table, name)) != rule:
            found.append(f"narrows {table} by {name}: {rule.definition}")
    for (table, name), rule in before.rules.items():
        if table in after.tables and (table, name) not in after.rules and rule.kind != "c":
            found.append(f"takes {name} from {table}: {rule.definition}")
    for (table, name), text in after.triggers.items():
        if table in before.tables and before.triggers.get((table, name)) != text:
            found.append(f"puts the trigger {name} before statements on {table}")
    return sorted(found)


def removed(before: Schema, after: Schema) -> list[str]:
    """Tables, columns as `table.column` and functions as `name(arguments)` that are there no more, or answer else."""
    tables = before.tables - after.tables
    columns = {f"{t}.{c}" for t, c in before.columns.keys() - after.columns.keys() if t not in tables}
    kept = before.functions.items() & after.functions.items()
    return sorted(tables | columns | {f"{name}({a})" for (name, a), _ in before.functions.items() - kept})


def in_use(gone: str, statements: list[str]) -> bool:
    """Whether a statement names what is gone: a column by its own and its table's name."""
    words = re.split(r"[.(]", gone)[: 2 if "." in gone else 1]
    return any(all(re.search(rf"\b{word}\b", text) for word in words) for text in statements)


def statements() -> list[str]:
    """The SQL of this release: every text of the runtime that reads like it, and what roles are granted."""
    return [text for file in sorted(RUNTIME.rglob("*.py")) if "migrations" not in file.parts for text in _texts(file)]


def _texts(file: Path) -> Iterator[str]:
    tree = ast.parse(file.read_text("utf-8"))
    for node in ast.walk(tree):
        text = ast.unparse(node) if isinstance(node, ast.JoinedStr) else getattr(node, "value", None)
        if isinstance(text, str) and SQL.search(text):
            yield text
    if file.name == "grants.py":
        yield from (f"{table} {privileges}" for table, privileges in _granted())


def _granted() -> Iterator[tuple[str, str]]:
    from runtime.grants import GRANTS

    for grants in GRANTS.values():
        yield from grants.tables.items()
        yield from ((function, "") for function in grants.functions)


# --- revisions ----------------------------------------------------------------------------------------------------


def revisions() -> list[str]:
    """In their order, which is that of their numbers."""
    return sorted(file.name[:4] for file in VERSIONS.glob("[0-9]*.py"))


def newest_revision() -> str:
    return revisions()[-1]


def declared(revision: str, name: str) -> Any:
    """What a revision's module says of itself."""
    (file,) = VERSIONS.glob(f"{revision}_*.py")
    return getattr(import_module(f"runtime.migrations.versions.{file.stem}"), name, None)


def upgrade_to(server: PostgresServer, database: str, revision: str) -> None:
    """As init does, to one revision."""
    parameters: dict[str, Any] = connection_parameters(settings_for(server, database, INIT)) | {"password": PASSWORD}
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(**parameters), poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()
    engine.dispose()
