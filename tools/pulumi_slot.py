"""One place in the cache for one recipe of the Pulumi CLI: locked while it is filled, re-hashed whenever it is used.

Owns: the private folder, its record of SHA-256 digests, the lock between processes, the atomic install.
Leaves out: where the files come from (pulumi_release, pulumi_build).
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

Report = Callable[[str], None]

RECORD = "SHA256SUMS"
LOCK_POLL_SECONDS = 0.5


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Slot:
    folder: Path  # .../pulumi/<version>-<digest of the recipe>

    @property
    def executable(self) -> Path:
        return self.folder / "pulumi"

    @contextlib.contextmanager
    def locked(self, report: Report) -> Generator[None]:
        """One process at a time fills the cache; what a killed one left half made is removed."""
        parent = self.folder.parent
        parent.mkdir(parents=True, exist_ok=True)
        parent.chmod(0o700)
        with os.fdopen(os.open(parent / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "w") as lock:
            self._acquire(lock.fileno(), report)
            for abandoned in parent.glob("*.partial"):
                shutil.rmtree(abandoned)
            yield

    @staticmethod
    def _acquire(descriptor: int, report: Report) -> None:
        told = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if not told:
                    report("Pulumi CLI: another process is preparing it; waiting for that one")
                    told = True
                time.sleep(LOCK_POLL_SECONDS)

    def verified(self, report: Report) -> Path | None:
        """The executable, if every file is still what was installed; else None, and the slot is emptied."""
        if not self.folder.exists():
            return None
        wrong = self._what_is_wrong()
        if wrong is None:
            return self.executable
        report(f"Pulumi CLI: {wrong}; it is made again")
        shutil.rmtree(self.folder)
        return None

    def _what_is_wrong(self) -> str | None:
        try:
            lines = (self.folder / RECORD).read_text(encoding="ascii").splitlines()
            recorded = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        except (OSError, UnicodeDecodeError):
            return f"{self.folder} has no readable record of digests"
        present = {entry.name for entry in self.folder.iterdir()} - {RECORD}
        if present != recorded.keys() or self.executable.name not in present:
            return f"{self.folder} does not hold the files that were installed"
        for name, digest in sorted(recorded.items()):
            path = self.folder / name
            if path.is_symlink() or not path.is_file():
                return f"{path} is not a regular file"
            actual = sha256_of(path)
            if actual != digest:
                return f"{path} changed since it was installed (expected SHA-256 {digest}, got {actual})"
        return None

    def install(self, fill: Callable[[Path], None]) -> Path:
        """Let `fill` make the files in a private folder, record their digests, then put the folder in place at once."""
        partial = Path(tempfile.mkdtemp(dir=self.folder.parent, prefix=f"{self.folder.name}.", suffix=".partial"))
        try:
            fill(partial)
            files = sorted(partial.iterdir())
            record = partial / RECORD
            record.touch(mode=0o600)
            record.write_text("".join(f"{sha256_of(path)}  {path.name}\n" for path in files), encoding="ascii")
            partial.rename(self.folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return self.executable
