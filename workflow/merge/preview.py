"""What Pulumi would do with the head's configuration: by the base revision's program and policy, without credentials.

Owns the workspace: the base's code as it stands here, the head's configuration and approvals as files of data, a state
of its own that is empty, and the emulated provider, which signs in nowhere. So a preview shows everything as new; it
proves that the program and the policy pack take the configuration. Nothing of the head is a program, and what its
stack file tells the engine (environments, secrets providers, other providers' keys) is left out.
"""

import json
import re
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from schemas.stack_config import PROJECT
from schemas.strict_yaml import read_yaml
from workflow.engine import Engine
from workflow.errors import EngineFailed
from workflow.merge.paths import is_plain
from workflow.merge.reasons import Finding, GateCode
from workflow.merge.revision import Revision
from workflow.project import Project

DATA = re.compile(r"organizations/.+\.yaml|approvals/.+\.json|Pulumi\.[A-Za-z0-9_-]+\.yaml")
"""What a workspace takes from the head, and not from here."""
NOT_LINKED = frozenset({".git", ".local", "organizations", "approvals"})
MOST_LINES = 40


def preview(project: Project, head: Revision, stack: str, report: Callable[[str], None]) -> tuple[str, Finding | None]:
    """What Pulumi says, and why it refuses where it does."""
    with workspace(project, head, stack) as root:
        engine = Engine(Project(root, root / ".local"), stack, report)
        try:
            engine.prepare()
            return engine.run("preview", "--suppress-outputs"), None
        except EngineFailed as failed:
            said = failed.advice.splitlines()[-MOST_LINES:]
            got = next((line.strip() for line in said if "error:" in line), "an engine that ended with an error")
            return "\n".join(said), Finding(GateCode.PREVIEW_FAILED, "a preview that passes", got, stack)


@contextmanager
def workspace(project: Project, head: Revision, stack: str) -> Generator[Path]:
    """A project of the base's code and the head's data; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="connector-preview-") as folder:
        root = Path(folder).resolve()
        for entry in project.root.iterdir():
            if entry.name not in NOT_LINKED and not DATA.fullmatch(entry.name):
                (root / entry.name).symlink_to(entry.resolve())
        for path, file in head.files.items():
            if DATA.fullmatch(path) and is_plain(path) and file.is_regular:
                place = root / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(head.read(path))
        named = root / f"Pulumi.{stack}.yaml"
        named.write_text(_without_engine(named.read_text("utf-8"), _salt(project)), "utf-8")
        yield root


def _without_engine(text: str, salt: str | None) -> str:
    """A stack's file with our own keys only, as JSON, which every reader of YAML understands alike."""
    value: Any = read_yaml(text).value
    ours = {k: v for k, v in value["config"].items() if str(k).startswith(f"{PROJECT}:")}
    return json.dumps({"config": ours, **({"encryptionsalt": salt} if salt else {})}) + "\n"


def _salt(project: Project) -> str | None:
    """Of the passphrase of emulated states, which protects nothing: without it Pulumi writes into the file."""
    found = re.search(r"^encryptionsalt: (\S+)$", (project.root / "Pulumi.local.yaml").read_text("utf-8"), re.MULTILINE)
    return found[1] if found else None
