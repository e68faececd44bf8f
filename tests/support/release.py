"""Another release of the runtime, in a tree of its own, as processes over a database that this one serves too.

Owns the copy of this tree with an expand migration and code that uses what it brings, and what a process of a release
does: `python -m tests.support.release init|visit FOLDER PORT DATABASE`, run in the tree whose code is meant. The vault,
Graph, Entra and the EHR are those of tests of visits; the database is real.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import ConnectorError
from runtime.init import prepare
from tests.support.connector import FakeVault, Outside, clients, settings_for
from tests.support.postgres import INIT, ROLES, PostgresServer
from tests.support.samples import ROOT
from tests.support.schema import newest_revision
from tests.support.visits import clinic, guest, staff

LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".local", "__pycache__", "approvals", "docs")

MIGRATION = '''"""What the next release brings."""

from alembic import op

revision = "{revision}"
phase = "expand"
down_revision = "{before}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE connector.visit ADD COLUMN note text NOT NULL DEFAULT 'none'")
    op.execute("CREATE TABLE connector.brought (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)")
    op.execute("CREATE INDEX visit_note ON connector.visit (note)")
'''
CODE = {
    "runtime/audit.py": (
        '"INSERT INTO connector.audit (',
        '"WITH one AS (INSERT INTO connector.brought DEFAULT VALUES) INSERT INTO connector.audit (',
    ),
    "runtime/grants.py": ('"audit": RECORDING,', '"audit": RECORDING, "brought": "SELECT, INSERT",'),
}
"""Each audited act of the next release uses the new table."""


@dataclass(frozen=True)
class Release:
    """A tree whose `runtime` is meant."""

    root: Path

    @classmethod
    def next(cls, folder: Path) -> "Release":
        """This tree's code and one migration more."""
        root = folder / "next"
        shutil.copytree(ROOT, root, ignore=LEFT_OUT)
        before = newest_revision()
        revision = f"{int(before) + 1:04d}"
        file = root / "runtime" / "migrations" / "versions" / f"{revision}_next.py"
        file.write_text(MIGRATION.format(revision=revision, before=before), "utf-8")
        for name, (old, new) in CODE.items():
            text = (root / name).read_text("utf-8")
            assert old in text, f"{old!r} is not in {name}"
            (root / name).write_text(text.replace(old, new), "utf-8")
        return cls(root)

    def run(self, what: str, server: PostgresServer, database: str) -> dict[str, Any]:
        """What a process of this release says at its end."""
        command = [sys.executable, "-m", "tests.support.release", what, str(server.folder), str(server.port), database]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])


THIS = Release(ROOT)


async def _init(server: PostgresServer, database: str) -> dict[str, Any]:
    """What runs before each replica. A refusal, or what is away, is told by its class."""
    roles = ",".join(f"{role}={principal}" for role, principal in ROLES.items())
    settings = settings_for(server, database, INIT, role="init", database_roles=roles)
    http = clients(Outside(), FakeVault())
    try:
        await prepare(settings, http)
    except ConnectorError as e:
        return {"failed": type(e).__name__}
    finally:
        await http.aclose()
    return {"prepared": True}


async def _visit(server: PostgresServer, database: str) -> dict[str, Any]:
    """A whole visit: begun, both connected, the call over, all of it told to the EHR."""
    from runtime.writeback.delivery import deliver

    name = f"{ROOT.name}-{uuid.uuid4().hex[:8]}"
    async with clinic(server, database) as here:
        session = await here.provider(f"csn-of-{name}")
        await here.happen(f"{name}-1", 1, staff("p-1"))
        await here.happen(f"{name}-2", 2, guest("p-2"))
        await here.happen(f"{name}-3", 3, kind="callEnded")
        await deliver(here.worker, session.visit_key)
        return {"told": [told["ConnectionStatus"] for told in here.remotes.told]}


if __name__ == "__main__":
    what, folder, port, name = sys.argv[1:]
    steps = {"init": _init, "visit": _visit}
    print(json.dumps(asyncio.run(steps[what](PostgresServer(Path(folder), int(port)), name))))
