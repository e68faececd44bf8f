"""Which Chromium the browser journeys get, on machines of the test's own."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import browser
from tests.support.browser import BrowserMissingError, chromium


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH; neither Playwright's own browser nor the rights of root."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to(shutil.which("sh") or "/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(browser, "_playwrights_own", lambda: None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    return tmp_path / "bin"


@pytest.mark.parametrize("name", ["chromium", "chromium-browser", "google-chrome"])
def test_an_installed_browser_that_runs_is_taken(folder: Path, name: str) -> None:
    path = script(folder / name, "echo Chromium 150")
    assert chromium() == path


def test_a_stub_that_does_not_run_is_passed_over(folder: Path) -> None:
    script(folder / "chromium-browser", "echo install the snap >&2; exit 1")
    path = script(folder / "google-chrome", "echo Chrome 150")
    assert chromium() == path


def test_without_a_browser_and_without_rights_one_message_says_what_to_install(folder: Path) -> None:
    script(folder / "apt-get", "exit 0")
    with pytest.raises(BrowserMissingError, match="apt-get install chromium"):
        chromium()


def test_root_on_debian_installs_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    made = folder / "chromium"
    prepared = script(folder / "prepared", "echo Chromium 150")
    move = shutil.which("mv", path="/usr/bin:/bin")
    script(folder / "apt-get", f'[ "$1" = update ] || {move} {prepared} {made}')
    assert chromium() == made


def test_an_installation_that_fails_shows_what_apt_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    script(folder / "apt-get", "echo no such package; exit 100")
    with pytest.raises(BrowserMissingError, match="no such package"):
        chromium()


def test_a_package_that_leaves_no_browser_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    script(folder / "apt-get", "exit 0")
    with pytest.raises(BrowserMissingError, match="found none that runs"):
        chromium()


def test_the_command_ends_with_an_error_and_not_with_a_skip(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "chromium", lambda: (_ for _ in ()).throw(BrowserMissingError("install it")))
    with pytest.raises(SystemExit, match="install it"):
        browser.main()


def test_the_installed_browser_writes_below_the_given_home_only(tmp_path: Path, chromium_executable: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    command = [
        str(chromium_executable),
        *("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"),
        *("--dump-dom", "data:text/html,<p>shown</p>"),
    ]
    answer = subprocess.run(
        command, env=browser.browser_environment(home), capture_output=True, text=True, timeout=120, check=False
    )
    assert "<p>shown</p>" in answer.stdout, answer.stderr
