"""The image's files start with the image's dependencies alone, where nothing can be written.

Laid out as the Containerfile does, with its environment; no file or folder of it has a right to write.
"""

import compileall
import fcntl
import hashlib
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.__main__ import REFUSED
from tests.image.containerfile import brought_in, environment
from tests.support.samples import ROOT
from tools.cache import cache_folder

IMPORTED_BY_ALEMBIC = "runtime.migrations.env"
"""Runs when alembic imports it, inside a migration."""
IMPORT_ALL = """
import importlib, json, pkgutil, runtime, schemas
names = [m.name for p in (runtime, schemas) for m in pkgutil.walk_packages(p.__path__, p.__name__ + ".")]
for name in names:
    if name != "runtime.migrations.env":
        importlib.import_module(name)
print(json.dumps(names))
"""
INSTALLED = """
import importlib.metadata, json
print(json.dumps(sorted(d.name for d in importlib.metadata.distributions())))
"""


def uv() -> str:
    """uv as the environment was made with it: tools/bootstrap.sh."""
    (pin,) = re.findall(r"^uv==(\S+)", (ROOT / "tools" / "uv.txt").read_text("utf-8"), re.MULTILINE)
    found = shutil.which("uv", path=f"{cache_folder() / f'uv-{pin}' / 'bin'}:{os.environ['PATH']}")
    assert found, "uv is missing: make set-up"
    return found


def packages() -> Path:
    """The lock, installed as the Containerfile does; kept in the cache, because it takes long and never changes."""
    lock = ROOT / "requirements" / "runtime.txt"
    key = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = cache_folder() / f"image-packages-{key}"
    cache_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    with (cache_folder() / "image-packages.lock").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not folder.is_dir():
            install(lock, folder)
    return folder


def install(lock: Path, folder: Path) -> None:
    partial = Path(tempfile.mkdtemp(dir=cache_folder(), prefix="image-packages-"))
    told = os.environ | {"UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or str(cache_folder() / "uv")}
    command = [uv(), "pip", "install", "--quiet", "--python", sys.executable, "--requirement", lock]
    strictly = ["--require-hashes", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, *strictly, "--target", partial], env=told, check=True)
    compileall.compile_dir(partial, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    close(partial)
    partial.rename(folder)


def close(folder: Path) -> None:
    """No right to write is left in it."""
    for path in [*folder.rglob("*"), folder]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """`app/` as in the image and `python/`, an interpreter that has nothing installed; nobody may write in either."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        app = folder / "app"
        for path in brought_in(ROOT):
            (app / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, app / path)
        (app / "packages").symlink_to(packages())
        venv.create(folder / "python", symlinks=True)
        close(folder)
        yield folder
        for path in [folder, *folder.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)


def run(image: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As the container does, with the Containerfile's environment and no other. Root is held to permissions too."""
    told = {name: value.replace("/app", str(image / "app")) for name, value in environment().items()}
    held = ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []
    command = [*held, str(image / "python" / "bin" / "python"), *arguments]
    return subprocess.run(command, cwd="/", env=told, capture_output=True, text=True, check=False)


def state_of(image: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file and folder."""
    both = (image, (image / "app" / "packages").resolve())
    return {str(p): (p.lstat().st_size, p.lstat().st_mtime_ns) for folder in both for p in folder.rglob("*")}


def test_it_starts_far_enough_to_say_what_it_was_not_told_and_writes_nothing(image: Path) -> None:
    before = state_of(image)
    done = run(image, "-m", "runtime")
    assert done.returncode == REFUSED, done.stderr
    (line,) = done.stdout.splitlines() + done.stderr.splitlines()
    said = json.loads(line)
    assert said["event"] == "start refused"
    assert "CONNECTOR_ROLE: Field required" in said["reason"]
    assert state_of(image) == before


def test_every_module_is_imported_with_the_images_dependencies(image: Path) -> None:
    before = state_of(image)
    done = run(image, "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    files = {path for path in brought_in(ROOT) if path.endswith(".py")}
    modules = {path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in files}
    assert IMPORTED_BY_ALEMBIC in modules
    assert set(json.loads(done.stdout)) | {"runtime", "schemas"} >= modules - not_in_packages(files)
    assert state_of(image) == before


def not_in_packages(files: set[str]) -> set[str]:
    """Modules in a folder without `__init__.py`: alembic's versions, which it reads by path."""
    return {
        path.removesuffix(".py").replace("/", ".")
        for path in files
        if f"{path.rpartition('/')[0]}/__init__.py" not in files
    }


def test_nothing_but_the_lock_is_there(image: Path) -> None:
    lock = (ROOT / "requirements" / "runtime.txt").read_text("utf-8")
    names = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    found = {re.sub(r"[-_.]+", "-", name).lower() for name in json.loads(run(image, "-c", INSTALLED).stdout)}
    assert found == names
    for module in ("pulumi", "typer", "pytest", "emulators", "workflow", "components", "policies", "tools", "tests"):
        assert "ModuleNotFoundError" in run(image, "-c", f"import {module}").stderr


def test_a_file_could_not_be_written_there(image: Path) -> None:
    """Or the tests above would prove nothing."""
    done = run(image, "-c", f"open({str(image / 'app' / 'runtime' / 'x')!r}, 'w')")
    assert "PermissionError" in done.stderr
