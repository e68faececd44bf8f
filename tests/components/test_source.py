"""What another process does for an update of production: loading the test stack, verifying statements."""

import base64
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components import source
from components.project_files import files_of
from schemas.loading import Loaded, load_stack
from schemas.promotion.approvals import Approvals
from schemas.promotion.canonical import canonical
from schemas.promotion.envelope import StatementFile, verify_all
from schemas.promotion.promoted import FILE
from schemas.promotion.reading import approvals_below
from schemas.promotion.reasons import Code
from schemas.promotion.trust import Trust
from schemas.vocabulary import Cloud
from tests.support.program import stack_of
from tests.support.promotion import accepted, make_project, put
from tests.support.samples import ROOT, engine_values
from tests.support.statements import emulated_anchors

TEST, PRODUCTION = "Pulumi.local.yaml", "Pulumi.local-prod.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def loaded(project: Path, file: str) -> Loaded:
    return load_stack(file, files_of(project).text)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of the processes that are started."""
    started: list[list[str]] = []
    popen: Any = subprocess.Popen

    def start(command: list[str], **options: Any) -> Any:
        started.append(command)
        return popen(command, **options)

    monkeypatch.setattr(subprocess, "Popen", start)
    return started


def test_it_is_told_as_if_it_had_been_loaded_here(project: Path, processes: list[list[str]]) -> None:
    load = source.begin(engine_values(PRODUCTION), project).load
    found = load(TEST)
    assert found.stack is not None
    assert found == loaded(project, TEST)
    assert load(TEST) is found
    assert len(processes) == 1


def test_what_is_wrong_with_it_is_told_as_well(project: Path) -> None:
    file = project / TEST
    file.write_text(file.read_text("utf-8").replace("connector:stage: test", "connector:stage: tset"), "utf-8")
    found = source.begin(engine_values(PRODUCTION), project).load(TEST)
    assert found == loaded(project, TEST)
    assert [p.path for p in found.errors] == ["stage"]


def test_another_stack_is_loaded_here(project: Path) -> None:
    load = source.begin(engine_values(PRODUCTION), project).load
    assert load(PRODUCTION) == loaded(project, PRODUCTION)


@pytest.mark.parametrize("promotion", [None, "", "{", "[]", '{"source": "../local\\u0000"}'])
def test_where_none_is_named_no_process_is_started(
    project: Path, processes: list[list[str]], promotion: str | None
) -> None:
    values = {} if promotion is None else {"teams-ehr-connector:promotion": promotion}
    assert source.begin(values, project).load(TEST) == loaded(project, TEST)
    assert source.begin(engine_values(TEST), project).load(TEST) == loaded(project, TEST)
    assert processes == []


def test_a_process_that_broke_is_no_answer(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    load = source.begin(engine_values(PRODUCTION), project).load
    with pytest.raises(source.SourceBroken, match=r"the process that loads Pulumi\.local\.yaml ended with code 1"):
        load(TEST)


@dataclass(frozen=True)
class Asked:
    """The statements that the decision of production asks for, what counts of them, and why others do not."""

    statements: list[StatementFile]
    counting: list[str]
    rejected: dict[str, Code]


def verify(project: Path, approvals: Approvals) -> Asked:
    """As the program does: most of them by the other process, and then whoever decides asks for all."""
    begun = source.begin(engine_values(PRODUCTION), project)
    assert begun.load(TEST).stack is not None
    stack = stack_of("local-prod")
    trust = Trust(stack.promotion.trusted_keys, emulated_anchors())
    begun.verify(stack, approvals, trust)
    mine = [approvals.of_geography(stack.stage, g, stack.served_in(g)).statements for g in stack.geographies]
    asked = [statement for of_geography in mine for statement in of_geography]
    counting, rejected = verify_all(asked, trust)
    return Asked(asked, [v.path for v in counting], {r.path: r.reason.code for r in rejected})


def approved(project: Path) -> Approvals:
    put(project, accepted(project))
    return approvals_below(files_of(project))


@pytest.mark.rule(Code.KEY_UNKNOWN)
def test_the_other_process_verifies_two_of_three_statements(project: Path, verified: list[str]) -> None:
    given = approved(project)
    asked = verify(project, given)
    assert len(asked.statements) == 11
    assert asked.counting == [s.path for s in asked.statements]
    assert verified == asked.counting[::3]


@pytest.mark.rule(Code.SIGNATURE_INVALID)
@pytest.mark.parametrize("number", [3, 4])
def test_a_forged_statement_does_not_count_whoever_verifies_it(project: Path, verified: list[str], number: int) -> None:
    given = approved(project)
    forged = verify(project, given).statements[number]
    statement = json.loads(forged.content)
    statement["signatures"][0]["sig"] = base64.b64encode(bytes(70)).decode()
    (project / forged.path).write_bytes(canonical(statement))
    verified.clear()
    asked = verify(project, approvals_below(files_of(project)))
    assert asked.rejected == {forged.path: Code.SIGNATURE_INVALID}
    assert len(verified) == 4


@pytest.mark.rule(Code.KEY_UNKNOWN)
def test_what_the_other_process_does_not_tell_is_verified_here(project: Path, verified: list[str]) -> None:
    given = approved(project)
    (project / FILE).write_text("{", "utf-8")  # which the program, too, would have read by now
    asked = verify(project, given)
    assert asked.counting == [s.path for s in asked.statements]
    assert sorted(verified) == sorted(asked.counting)


def test_what_the_other_process_read_otherwise_is_verified_here(project: Path, verified: list[str]) -> None:
    given = approved(project)
    for file in given.statements:
        (project / file.path).write_bytes(file.content + b"\n")
    asked = verify(project, given)
    assert asked.counting == [s.path for s in asked.statements]
    assert sorted(verified) == sorted(asked.counting)


def test_a_program_that_is_refused_before_it_asks_hears_nothing_of_it(project: Path) -> None:
    command = [sys.executable, "-m", "components.source", str(project), TEST, Cloud.EMULATED]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(engine_values(PRODUCTION)["teams-ehr-connector:promotion"].encode())
        process.stdin.close()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_nothing_outside_the_project_is_read(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / TEST
    shutil.move(project / TEST, outside)
    (project / TEST).symlink_to(outside)
    (problem,) = source.begin(engine_values(PRODUCTION), project).load(TEST).errors
    assert problem.code == "file-unreadable"
    assert "leads out of the project" in problem.got
