"""What a run may leave behind: nothing, but in the folders that the README lists.

Owns a home and a folder for temporary files that are new for a test, and comparing them, and the working tree, before
and after. The one cache folder is lent from the machine, so that the Pulumi CLI is not built again.
"""

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.samples import ROOT
from tests.support.stack import TestStack
from tools.cache import cache_folder


@dataclass
class Household:
    """A new home below `folder`; `environment` is what processes of the test get of it."""

    folder: Path
    status: str = field(init=False)

    def __post_init__(self) -> None:
        for place in (self.home, self.temporary, self.cache):
            place.mkdir(mode=0o700, parents=True)
        (self.cache / "teams-ehr-connector").symlink_to(cache_folder())
        self.status = git_status()

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def temporary(self) -> Path:
        return self.folder / "temporary"

    @property
    def cache(self) -> Path:
        return self.home / ".cache"

    @property
    def environment(self) -> dict[str, str]:
        return {"HOME": str(self.home), "TMPDIR": str(self.temporary)}

    def move_in(self, stack: TestStack) -> TestStack:
        """A stack whose commands run in this home."""
        kept = {k: v for k, v in stack.environment.items() if not k.startswith("XDG_")}
        return TestStack(stack.root, stack.name, kept | self.environment)

    def strays(self) -> list[str]:
        """Every file and folder in home and among temporary files that is not the cache."""
        found = [*files_below(self.home), *files_below(self.temporary)]
        return [str(f) for f in found if not f.is_relative_to(self.cache / "teams-ehr-connector") and f != self.cache]


def files_below(folder: Path) -> list[Path]:
    """Everything below a folder, links not followed."""
    return sorted(Path(path) / name for path, folders, files in os.walk(folder) for name in (*folders, *files))


def git_status() -> str:
    """Of the working tree, but for what people write: they may be at it while tests run, and no run writes it."""
    command = ["git", "status", "--porcelain", "--untracked-files=all"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return "\n".join(line for line in lines if not line.endswith((".py", ".md", ".toml", ".schema.json")))
