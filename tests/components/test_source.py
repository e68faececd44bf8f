"""The test stack of a production stack is loaded by another process, and told as if this one had loaded it."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components import source
from components.project_files import files_of
from schemas.loading import Loaded, load_stack
from tests.support.promotion import make_project
from tests.support.samples import ROOT, engine_values

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
    load = source.begin(engine_values(PRODUCTION), project)
    found = load(TEST)
    assert found.stack is not None
    assert found == loaded(project, TEST)
    assert load(TEST) is found
    assert len(processes) == 1


def test_what_is_wrong_with_it_is_told_as_well(project: Path) -> None:
    file = project / TEST
    file.write_text(file.read_text("utf-8").replace("connector:stage: test", "connector:stage: tset"), "utf-8")
    found = source.begin(engine_values(PRODUCTION), project)(TEST)
    assert found == loaded(project, TEST)
    assert [p.path for p in found.errors] == ["stage"]


def test_another_stack_is_loaded_here(project: Path) -> None:
    load = source.begin(engine_values(PRODUCTION), project)
    assert load(PRODUCTION) == loaded(project, PRODUCTION)


@pytest.mark.parametrize("promotion", [None, "", "{", "[]", '{"source": "../local\\u0000"}'])
def test_where_none_is_named_no_process_is_started(
    project: Path, processes: list[list[str]], promotion: str | None
) -> None:
    values = {} if promotion is None else {"teams-ehr-connector:promotion": promotion}
    assert source.begin(values, project)(TEST) == loaded(project, TEST)
    assert source.begin(engine_values(TEST), project)(TEST) == loaded(project, TEST)
    assert processes == []


def test_a_process_that_broke_is_no_answer(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    load = source.begin(engine_values(PRODUCTION), project)
    with pytest.raises(source.SourceBroken, match=r"the process that loads Pulumi\.local\.yaml ended with code 1"):
        load(TEST)


def test_a_program_that_is_refused_before_it_asks_hears_nothing_of_it(project: Path) -> None:
    command = [sys.executable, "-m", "components.source", str(project), TEST]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_nothing_outside_the_project_is_read(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / TEST
    shutil.move(project / TEST, outside)
    (project / TEST).symlink_to(outside)
    (problem,) = source.begin(engine_values(PRODUCTION), project)(TEST).errors
    assert problem.code == "file-unreadable"
    assert "leads out of the project" in problem.got
