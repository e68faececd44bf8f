"""What `make` does to a machine: which uv it takes, what it says where something is missing, what `clean` leaves."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PIN = re.findall(r"^uv==(\S+)", (ROOT / "tools" / "uv.txt").read_text(encoding="utf-8"), re.MULTILINE)[0]

UV = f"""#!/bin/sh
echo "uv $@" >>"$NOTES"
[ "$1" = --version ] && echo "uv ${{UV_ANSWER:-{PIN}}} (somewhere)"
if [ "$1" = venv ]; then mkdir -p .venv/bin; cp "$PYTHON" .venv/bin/python; fi
exit 0
"""

# Stands for any Python: of a suitable version unless told, makes environments, and "installs" uv with pip.
PYTHON = """#!/bin/sh
echo "python $@" >>"$NOTES"
case "$1 $2" in
"-c "*) exit "${TOO_OLD:-0}" ;;
"-m venv") [ -z "$NO_VENV" ] || exit 1; mkdir -p "$3/bin"; cp "$PYTHON" "$3/bin/python" ;;
"-m pip") cp "$UV" "$(dirname "$0")/uv" ;;
esac
"""


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


class Clone(NamedTuple):
    folder: Path
    bin: Path
    cache: Path
    environment: dict[str, str]

    def run(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def bootstrap(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run("tools/bootstrap.sh", self.cache, **environment)

    def calls(self, words: str) -> list[str]:
        return [line for line in (self.folder / "notes").read_text().splitlines() if words in line]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    folder = tmp_path / "clone"
    for name in ("Makefile", "tools/bootstrap.sh", "tools/uv.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    python, uv = script(tmp_path / "fake-python", PYTHON), script(tmp_path / "fake-uv", UV)
    environment = {
        "HOME": str(tmp_path / "home"),
        "NOTES": str(folder / "notes"),
        "PATH": os.pathsep.join([str(tmp_path / "bin"), "/usr/bin", "/bin"]),
        "PYTHON": str(python),
        "UV": str(uv),
    }
    return Clone(folder, tmp_path / "bin", tmp_path / "home" / ".cache" / "teams-ehr-connector", environment)


def test_without_a_suitable_python_one_message_says_which_is_needed(clone: Clone) -> None:
    result = clone.bootstrap(TOO_OLD="1")
    assert result.returncode != 0
    assert "Python 3.11 or newer is needed" in result.stderr


def test_a_python_that_cannot_make_environments_is_named_with_the_package_to_install(clone: Clone) -> None:
    result = clone.bootstrap(NO_VENV="1")
    assert result.returncode != 0
    assert "python3-venv" in result.stderr
    assert not (clone.cache / f"uv-{PIN}").exists()


def test_uv_is_installed_from_its_pinned_digest_where_it_is_missing(clone: Clone) -> None:
    assert clone.bootstrap().returncode == 0
    (call,) = clone.calls("-m pip install")
    assert {"--require-hashes", "--no-cache-dir", "--no-deps"} < set(call.split())
    assert call.endswith("tools/uv.txt")
    assert clone.bootstrap().returncode == 0
    assert len(clone.calls("-m pip install")) == 1


def test_a_uv_on_the_path_of_the_pinned_version_is_taken(clone: Clone) -> None:
    script(clone.bin / "uv", UV)
    assert clone.bootstrap().returncode == 0
    assert clone.calls("-m pip install") == []


def test_a_uv_on_the_path_of_another_version_is_not_taken(clone: Clone) -> None:
    script(clone.bin / "uv", UV.replace(f"{{UV_ANSWER:-{PIN}}}", "{UV_ANSWER:-0.0.1}"))
    assert clone.bootstrap().returncode == 0
    assert len(clone.calls("-m pip install")) == 1


def test_the_environment_is_what_the_lock_file_says_by_digest(clone: Clone) -> None:
    assert clone.bootstrap().returncode == 0
    (call,) = clone.calls("uv pip sync")
    assert "--require-hashes" in call
    assert call.endswith("requirements/dev.txt")
    (call,) = clone.calls("uv pip install")
    assert {"--no-deps", "--no-build-isolation", "--editable"} < set(call.split())


def test_a_second_make_does_nothing(clone: Clone) -> None:
    for name in ("pyproject.toml", "requirements/dev.txt"):
        script(clone.folder / name, "")
    assert clone.run("make", "set-up").returncode == 0
    (clone.folder / "notes").write_text("")
    assert clone.run("make", "set-up").returncode == 0
    assert clone.calls("") == []


def test_clean_stops_what_runs_and_empties_the_three_folders_and_nothing_else(clone: Clone) -> None:
    script(clone.folder / ".venv" / "bin" / "connector", '#!/bin/sh\necho "connector $@" >>"$NOTES"; exit 1\n')
    script(clone.folder / ".local" / "file", "")
    script(clone.folder / "runtime" / "__pycache__" / "file", "")
    read_only = script(clone.cache / "go" / "modules" / "file", "").parent
    read_only.chmod(0o500)
    kept = script(clone.cache.parent / "another-program" / "file", "")
    result = clone.run("make", "clean")
    assert result.returncode == 0, result.stderr
    assert clone.calls("connector") == ["connector down"]
    assert sorted(path.name for path in clone.folder.iterdir()) == ["Makefile", "notes", "runtime", "tools"]
    assert not (clone.folder / "runtime" / "__pycache__").exists()
    assert not clone.cache.exists()
    assert kept.exists()


def test_clean_in_a_fresh_clone_ends_well(clone: Clone) -> None:
    assert clone.run("make", "clean").returncode == 0


def test_continuous_integration_runs_the_same_commands_as_people() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line.split("<")[0].strip() for line in lines if line.startswith("make")] == [
        "make check",
        "make checkov",
        "make test",
    ]
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")
