"""The Chromium that the browser journeys drive; `python -m tests.support.browser` says which, or what to install.

Order: an installed one, Playwright's own, the system's package where installing it is permitted. Never a skip.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
APT_TIMEOUT_SECONDS = 900


class BrowserMissingError(Exception):
    """No Chromium is here and none may be installed; the message says what to install."""


def chromium() -> Path:
    return _installed() or _playwrights_own() or _installed_by_apt()


def browser_environment(home: Path) -> dict[str, str]:
    """For the launch: Chromium writes its crash reports, caches and certificate store below `home` and nowhere else."""
    private = {"HOME": home, "XDG_CONFIG_HOME": home / "configuration", "XDG_CACHE_HOME": home / "cache"}
    return {**os.environ, **{name: str(path) for name, path in private.items()}}


def _installed() -> Path | None:
    paths = (shutil.which(name) for name in NAMES)
    return next((Path(path) for path in paths if path and _runs(Path(path))), None)


def _playwrights_own() -> Path | None:
    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return path if path.exists() and _runs(path) else None


def _installed_by_apt() -> Path:
    advice = (
        "The browser tests need Chromium and found none that runs: install it (Debian: apt-get install chromium) "
        "or let Playwright fetch its own (.venv/bin/playwright install chromium)."
    )
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BrowserMissingError(advice)
    print("Installing the system's package chromium", file=sys.stderr, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", "chromium"]):
        command = ["apt-get", *arguments]
        try:
            subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=APT_TIMEOUT_SECONDS,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            raise BrowserMissingError(f"{advice}\n{' '.join(command)} failed:\n{error.stdout}") from error
        except subprocess.TimeoutExpired as error:
            raise BrowserMissingError(f"{advice}\n{' '.join(command)} did not end.") from error
    found = _installed()
    if found is None:
        raise BrowserMissingError(advice)
    return found


def _runs(path: Path) -> bool:
    """Ubuntu's /usr/bin/chromium-browser may be a stub that only asks for a snap."""
    with tempfile.TemporaryDirectory() as home:
        try:
            answer = subprocess.run(
                [path, "--version"],
                env=browser_environment(Path(home)),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=60,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return answer.returncode == 0


def main() -> None:
    try:
        print(chromium())
    except BrowserMissingError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
