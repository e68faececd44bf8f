"""The audit of a running stack: exported by an auditor, proved whole, and what a superuser changes is found."""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from emulators.azure import layout
from emulators.azure.postgres import SUPERUSER
from tests.support.stack import TestStack

GEOGRAPHY = "americas"
ANCHORED_SECONDS = 90.0


@contextmanager
def superuser(stack: TestStack) -> Generator[psycopg.Connection[Any]]:
    """Of the geography's server, as whoever steals it would be."""
    (server,) = (
        arm
        for arm in stack.arm().values()
        if arm["type"] == "Microsoft.DBforPostgreSQL/flexibleServers" and arm["tags"]["geography"] == GEOGRAPHY
    )
    port = int(server["properties"]["fullyQualifiedDomainName"].rpartition(":")[2])
    with (
        layout.short_path(stack.state / "postgres" / server["name"]) as host,
        psycopg.connect(host=host, port=port, user=SUPERUSER, dbname="connector", autocommit=True) as connection,
    ):
        yield connection


def exported(stack: TestStack, file: Path) -> list[dict[str, Any]]:
    """The lines of an export in which there is a head."""
    deadline = time.monotonic() + ANCHORED_SECONDS
    while True:
        done = stack.connector("audit", "export", stack.name, "--geography", GEOGRAPHY, "--output", str(file))
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        if any("head" in line for line in lines) or time.monotonic() > deadline:
            return lines
        time.sleep(2)


def verify(stack: TestStack, *arguments: str) -> tuple[int, str]:
    done = stack.connector("audit", "verify", *arguments, "--stack", stack.name)
    return done.returncode, done.stdout + done.stderr


def test_the_audit_is_exported_and_proved_and_a_superusers_change_is_found(stack: TestStack, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    lines = exported(stack, file)
    rows, heads = ([line[k] for line in lines if k in line] for k in ("row", "head"))
    assert rows
    assert heads
    assert file.stat().st_mode & 0o777 == 0o600
    code, output = verify(stack, str(file))
    assert (code, "no flaw" in output) == (0, True), output
    code, output = verify(stack, "--geography", GEOGRAPHY)
    assert (code, "no flaw" in output) == (0, True), output

    with superuser(stack) as database:
        database.execute("UPDATE connector.audit SET action = 'linked' WHERE sequence = 1")
        try:
            code, output = verify(stack, "--geography", GEOGRAPHY)
        finally:
            database.execute("UPDATE connector.audit SET action = %s WHERE sequence = 1", (rows[0]["action"],))
    assert code == 1
    assert "row 1 was changed: its hash is not that of it [row-changed]" in output
    assert verify(stack, "--geography", GEOGRAPHY)[0] == 0
