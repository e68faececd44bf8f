"""The Containerfile: exactly the image's files, bases by digest, nobody's root, nothing that a shell would run."""

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from components.runtime_app import COMMAND, PORT
from emulators.azure.images import Images
from schemas.image import FILES, FOLDERS, belongs_to_image
from tests.image.containerfile import (
    CONTAINERFILE,
    IGNORED,
    brought_in,
    context,
    copied,
    environment,
    instructions,
    labels,
    stages,
)
from tests.support.samples import ROOT
from workflow.sbom import bases

HADOLINT = Path(sysconfig.get_path("scripts"), "hadolint")
SEVERAL = {
    "runtime/__main__.py",
    "runtime/pages/base.html",
    "schemas/json/a.schema.json",
    "requirements/runtime.txt",
}
LEFT_OUT = {
    "runtime/__pycache__/__main__.cpython-313.pyc",
    "runtime/old.pyc",
    "schemas/a/__pycache__/b",
    "requirements/dev.txt",
    "emulators/__init__.py",
    "tests/runtime/test_a.py",
    "workflow/cli.py",
    "components/program.py",
    "policies/pack.py",
    "tools/uv.txt",
    "runtime.py",
    "docs/runtime/a.md",
    "Pulumi.prod.yaml",
    ".git/config",
    ".local/passphrase",
    ".venv/bin/python",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in SEVERAL | LEFT_OUT:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def lint(text: str) -> int:
    return subprocess.run([HADOLINT, "-"], input=text.encode(), capture_output=True).returncode


def test_the_files_are_exactly_those_of_the_image() -> None:
    files = {path for path, _ in Images(ROOT / ".local", ROOT).files()}
    assert len(files) > 200
    assert brought_in(ROOT) == files


def test_no_file_of_another_house_is_in_it() -> None:
    assert {path.split("/")[0] for path in brought_in(ROOT)} == {"runtime", "schemas", "requirements"}
    assert {path for path in brought_in(ROOT) if path.startswith("requirements/")} == {"requirements/runtime.txt"}


def test_a_build_does_not_even_see_other_files(tree: Path) -> None:
    assert context(tree) == brought_in(tree) == SEVERAL
    assert {path for path in SEVERAL | LEFT_OUT if belongs_to_image(path)} == SEVERAL


def test_what_is_copied_is_what_the_image_names() -> None:
    assert sorted(copied()) == sorted([*FOLDERS, *FILES])


@pytest.mark.parametrize(
    "other", ["COPY runtime* ./", "ADD runtime runtime", "COPY runtime /elsewhere", "COPY emulators emulators"]
)
def test_a_copy_of_another_form_or_of_what_is_left_out_is_refused(tree: Path, other: str) -> None:
    with pytest.raises(ValueError, match=r"^(COPY|ADD)"):
        brought_in(tree, CONTAINERFILE.replace("COPY runtime runtime", other))


def test_a_copy_of_everything_and_a_missing_one_are_found(tree: Path) -> None:
    assert brought_in(tree, CONTAINERFILE.replace("COPY runtime runtime", "COPY . ."), "") == SEVERAL | LEFT_OUT
    assert brought_in(tree, CONTAINERFILE.replace("COPY runtime runtime\n", "")) < SEVERAL


@pytest.mark.parametrize(
    "line", ["*", "!runtime", "!schemas", "!requirements/runtime.txt", "**/__pycache__", "**/*.pyc"]
)
def test_each_line_of_the_ignored_files_is_needed(tree: Path, line: str) -> None:
    lines = IGNORED.splitlines()
    assert lines.count(line) == 1
    assert context(tree, "\n".join(other for other in lines if other != line)) != SEVERAL


def test_both_bases_are_by_digest_and_run_the_same_python_on_the_same_system() -> None:
    build, image = bases(CONTAINERFILE)
    assert build.name == "docker.io/library/python"
    assert image.name == "gcr.io/distroless/python3-debian13"
    assert re.fullmatch(r"3\.13\.\d+-slim-trixie", build.tag)  # Debian 13 is trixie; its Python is 3.13
    assert image.tag == "nonroot"
    assert len(stages()) == 2


@pytest.mark.parametrize("form", ["python:3.13", "python:3.13@sha256:abc", "${BASE}", "python@sha256:" + 64 * "0"])
def test_a_base_of_another_form_is_refused(form: str) -> None:
    with pytest.raises(ValueError, match="expected each FROM as name:tag@sha256"):
        bases(CONTAINERFILE + f"\nFROM {form}\n")


def test_it_says_what_it_was_made_from() -> None:
    found = labels()
    base = bases(CONTAINERFILE)[-1]
    assert found["org.opencontainers.image.base.name"] == f"{base.name}:{base.tag}"
    assert found["org.opencontainers.image.base.digest"] == f"sha256:{base.digest}"
    assert found["org.opencontainers.image.revision"] == "${REVISION}"
    assert found["org.opencontainers.image.title"] == "teams-ehr-connector"


def test_it_runs_as_a_number_that_is_not_root_and_as_the_container_app_starts_it() -> None:
    last = stages()[-1]
    assert [i.value for i in last if i.name == "USER"] == ["65532:65532"]
    assert [i.exec_form for i in last if i.name == "ENTRYPOINT"] == [COMMAND]
    assert [i.value for i in last if i.name == "EXPOSE"] == [str(PORT)]


def test_nothing_of_it_needs_a_shell_and_nothing_runs_in_the_image_itself() -> None:
    build, image = stages()
    assert [i.exec_form[:3] for i in build if i.name == "RUN"] == [
        ["python", "-m", "pip"],
        ["python", "-m", "compileall"],
    ]
    assert {i.name for i in image} == {"FROM", "ARG", "LABEL", "COPY", "WORKDIR", "ENV", "USER", "EXPOSE", "ENTRYPOINT"}
    assert [i.value for i in image if i.name == "COPY"] == ["--from=build /app /app"]


def test_only_what_the_lock_pins_is_installed_and_no_packages_code_runs() -> None:
    (install,) = (i.exec_form for i in instructions() if i.name == "RUN" and "install" in i.exec_form)
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:", "--requirement=requirements/runtime.txt"} <= set(
        install
    )
    assert not [argument for argument in install if "index" in argument or "://" in argument]


def test_nothing_is_written_where_it_runs() -> None:
    found = environment()
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONNOUSERSITE", "PYTHONSAFEPATH", "PYTHONUNBUFFERED"):
        assert found[name] == "1"
    assert found["PYTHONPATH"] == "/app:/app/packages"
    assert not [i for i in instructions() if i.name in ("VOLUME", "HEALTHCHECK", "SHELL", "ONBUILD")]


def test_the_linter_accepts_it_and_finds_what_it_should() -> None:
    assert lint(CONTAINERFILE) == 0
    assert lint(CONTAINERFILE.replace("WORKDIR /app", "WORKDIR app")) != 0
    assert lint(CONTAINERFILE + "\nUSER root\n") != 0
