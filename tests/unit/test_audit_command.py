"""`connector audit verify FILE`: offline, by the stack's pinned keys; `export` and live reading say what is missing."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import Result

from schemas.audit_export import about, write_lines
from schemas.promotion.reasons import Code
from schemas.vocabulary import Stage
from tests.support.audit_chains import AMERICAS, TEST, chained, head_file, some_contents
from tests.support.command import connector
from tests.support.samples import ROOT
from workflow.audit_rows import AuditUnreadable, auditing
from workflow.errors import WorkflowError
from workflow.project import Project

Lines = list[dict[str, Any]]


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """Six rows of a moment ago, with heads of the third and the last."""
    now = datetime.now(UTC)
    rows = chained(some_contents(6, now - timedelta(minutes=30)))
    heads = [head_file(rows[i], issued=now - timedelta(minutes=20)) for i in (2, 5)]
    file = tmp_path / "audit.jsonl"
    file.write_bytes(b"".join(write_lines(about(AMERICAS, TEST, now), heads, rows)))
    return file


def change(file: Path, how: Callable[[Lines], Lines]) -> None:
    """Edit the lines; the count at the end is made right, as whoever forges a file would."""
    *lines, _ = how([json.loads(line) for line in file.read_text().splitlines()])
    end = {"rows": sum("row" in x for x in lines), "heads": sum("head" in x for x in lines)}
    end["unchained"] = 0
    file.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"end": end}]))


def verify(tmp_path: Path, *arguments: str) -> Result:
    return connector(ROOT, "audit", "verify", *arguments, state=tmp_path / "state")


def test_a_whole_file_is_told_as_that(exported: Path, tmp_path: Path) -> None:
    result = verify(tmp_path, str(exported))
    assert result.exit_code == 0, result.output
    assert result.output == "audit of americas, test: 6 rows, 2 heads, the newest of row 6: no flaw\n"


def without_row(sequence: int) -> Callable[[Lines], Lines]:
    return lambda lines: [x for x in lines if x.get("row", {}).get("sequence") != sequence]


def with_row(sequence: int, **values: str) -> Callable[[Lines], Lines]:
    return lambda lines: [
        {"row": x["row"] | values} if x.get("row", {}).get("sequence") == sequence else x for x in lines
    ]


def first_two_in_each_others_place(lines: Lines) -> Lines:
    return [*lines[:3], lines[4], lines[3], *lines[5:]]


def without_the_newest_head(lines: Lines) -> Lines:
    return [x for x in lines if x.get("head", {}).get("name") != "americas-test/000000000006.json"]


def rewritten(lines: Lines) -> Lines:
    rows = chained([{**c, "action": "linked"} for c in some_contents(6, datetime.now(UTC) - timedelta(minutes=30))])
    new = [{"row": r.model_dump(mode="json", by_alias=True, exclude_none=True)} for r in rows]
    return [*(x for x in lines if "row" not in x and "end" not in x), *new, {"end": {}}]


@pytest.mark.parametrize(
    ("how", "line"),
    [
        (with_row(4, action="linked"), "row 4 was changed: its hash is not that of it [row-changed]"),
        (without_row(4), "row 4 is missing: row 5 follows [rows-missing]"),
        (without_row(6), "row 6 is missing at the end: the head of row 6 is anchored [end-missing]"),
        (without_row(1), "row 1 is missing at the start, and no anchored head ends there [start-missing]"),
        (
            first_two_in_each_others_place,
            "row 1 stands after row 2: it was moved or repeated [row-misplaced]",
        ),
        (rewritten, "row 3 or one before it was rewritten: its anchored head has another hash [chain-rewritten]"),
        (
            without_the_newest_head,
            "rows 4 to 6 are below no anchored head after more than 15 minutes [not-anchored]",
        ),
    ],
)
def test_each_flaw_is_told_with_its_row_and_ends_with_exit_code_1(
    exported: Path, tmp_path: Path, how: Callable[[Lines], Lines], line: str
) -> None:
    change(exported, how)
    result = verify(tmp_path, str(exported))
    assert result.exit_code == 1
    assert line in result.output.splitlines()
    assert "no flaw" not in result.output


def test_many_flaws_are_counted_not_listed(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    rows = chained(some_contents(100, now - timedelta(minutes=5)))
    broken = [row.model_copy(update={"action": "x"}) for row in rows]
    file = tmp_path / "audit.jsonl"
    file.write_bytes(b"".join(write_lines(about(AMERICAS, TEST, now), [head_file(rows[-1])], broken)))
    lines = verify(tmp_path, str(file)).output.splitlines()
    assert len(lines) == 22
    assert lines[-2:] == [
        "and 80 more",
        "audit of americas, test: 100 rows, 1 heads, the newest of row 100: 100 flaws, the first at row 1",
    ]


def test_a_file_of_another_stack_is_refused(exported: Path, tmp_path: Path) -> None:
    result = verify(tmp_path, str(exported), "--stack", "local-prod")
    assert isinstance(result.exception, WorkflowError)
    assert "of americas, test, which this stack is not" in str(result.exception)


@pytest.mark.rule(Code.KEY_UNKNOWN)
def test_heads_by_keys_that_the_stack_does_not_pin_do_not_count(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    rows = chained(some_contents(2, now - timedelta(minutes=5)))
    file = tmp_path / "audit.jsonl"
    head = head_file(rows[1], key=(Stage.PRODUCTION, AMERICAS, "worker-signing"))
    file.write_bytes(b"".join(write_lines(about(AMERICAS, TEST, now), [head], rows)))
    result = verify(tmp_path, str(file))
    assert result.exit_code == 1
    assert "the head for row 2 does not count: expected a key that the stack's trustedKeys list" in result.output


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "line 1"), (b"\x1b[2J\n", "line 1"), (b'{"audit":1}\n', "line 1"), (None, "No such file or directory")],
)
def test_what_is_no_export_is_refused_without_repeating_it(tmp_path: Path, content: bytes | None, told: str) -> None:
    file = tmp_path / "audit.jsonl"
    if content is not None:
        file.write_bytes(content)
    result = verify(tmp_path, str(file))
    assert isinstance(result.exception, WorkflowError)
    assert told in str(result.exception)
    assert "\x1b" not in str(result.exception)


def test_a_file_from_the_future_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_bytes(b"".join(write_lines(about(AMERICAS, TEST, datetime.now(UTC) + timedelta(days=3000)), [], [])))
    assert isinstance(verify(tmp_path, str(file)).exception, WorkflowError)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("verify",), "--geography, one of: americas, emea, apac"),
        (("verify", "--geography", "mars"), "--geography, one of: americas, emea, apac"),
        (("verify", "--geography", "emea"), "start the stack with: connector up"),
        (("export", "--geography", "emea", "--output", "audit.jsonl"), "start the stack with: connector up"),
    ],
)
def test_what_is_missing_is_told_with_what_to_do(tmp_path: Path, arguments: tuple[str, ...], advice: str) -> None:
    result = connector(ROOT, "audit", *arguments, state=tmp_path / "state")
    assert isinstance(result.exception, WorkflowError)
    assert result.exception.advice == advice


def test_in_azure_the_rows_are_read_over_verified_tls_as_the_auditors_role(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def connect(**parameters: Any) -> None:
        asked.update(parameters)
        raise psycopg.OperationalError("no way there with a-token")

    monkeypatch.setattr("psycopg.connect", connect)
    project = Project(ROOT, ROOT / ".local")
    with pytest.raises(AuditUnreadable) as told, auditing(project, project.valid("prod"), AMERICAS, "a-token"):
        pass
    assert (asked["user"], asked["password"], asked["dbname"]) == ("connector_auditor", "a-token", "connector")
    assert asked["sslmode"] == "verify-full"
    assert asked["host"].startswith("psql-americas-prd-")
    assert asked["host"].endswith(".postgres.database.azure.com")
    assert "a-token" not in str(told.value)
