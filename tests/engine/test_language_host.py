"""The Python language host under the real engine: programs and policy packs run, fail and end as they should."""

import json
import os
import signal
import subprocess
import sysconfig
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

PROGRAM = """
import pulumi


class Thing(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("test:index:Thing", name)
        self.register_outputs({})


config = pulumi.Config()
Thing(config.require("thing"))
pulumi.export("secret", config.require_secret("secret"))
pulumi.export("thing", config.require("thing"))
pulumi.export("names", [pulumi.get_project(), pulumi.get_stack(), pulumi.get_organization()])
"""

NESTED = (
    PROGRAM
    + """

def inner():
    Thing("inner")


def outer():
    inner()


outer()
"""
)

# Tells that it runs, then waits for a reader who never comes.
ENDLESS = """
import os
import pulumi

open("running", "w").close()
os.open("never", os.O_RDONLY)
"""

PACK = """
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy


def check(args, report):
    if args.resource_type == "test:index:Thing" and args.name == "forbidden":
        print("said by the pack", flush=True)
        report("this thing is forbidden")


policy = ResourceValidationPolicy(name="things", description="No forbidden things.", validate=check)
PolicyPack("test", enforcement_level=EnforcementLevel.MANDATORY, policies=[policy])
"""


class Engine:
    """A project, a file backend and an environment of the test's own; its processes carry a mark."""

    def __init__(self, folder: Path, cli: Path) -> None:
        self.project = folder / "project"
        self.mark = uuid.uuid4().hex
        # Ours first, also where the CLI came with the official host.
        paths = [sysconfig.get_path("scripts"), str(cli.parent), "/usr/bin", "/bin"]
        self.environment = {
            "HOME": str(folder / "home"),
            "PATH": os.pathsep.join(paths),
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "passphrase",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
            "PULUMI_HOME": str(folder / "pulumi-home"),
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "TEST_MARK": self.mark,
        }
        self.cli = cli
        for name in ("home", "state", "project", "project/pack"):
            (folder / name).mkdir()
        (self.project / "Pulumi.yaml").write_text("name: language-host\nruntime: python\n")
        (self.project / "pack" / "PulumiPolicy.yaml").write_text("runtime: python\n")
        (self.project / "pack" / "__main__.py").write_text(PACK)

    def program(self, text: str) -> None:
        (self.project / "__main__.py").write_text(text)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.cli, *arguments, "--non-interactive"],
            cwd=self.project,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        with self.start(*arguments) as process:
            output, _ = process.communicate(timeout=120)
        return process.returncode, output

    def processes(self, *words: str) -> list[psutil.Process]:
        """Ours that still run, with all of `words` in their command line."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("TEST_MARK") == self.mark and process.status() != psutil.STATUS_ZOMBIE
                if ours and all(word in " ".join(process.cmdline()) for word in words):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found


def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


@pytest.fixture
def engine(tmp_path: Path, pulumi_executable: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path, pulumi_executable)
    engine.program(PROGRAM)
    assert engine.run("stack", "init", "here")[0] == 0
    assert engine.run("config", "set", "thing", "allowed")[0] == 0
    assert engine.run("config", "set", "--secret", "secret", "hidden")[0] == 0
    yield engine
    for process in engine.processes():
        process.kill()


def test_a_program_gets_its_settings_and_configuration_and_its_outputs_come_back(engine: Engine) -> None:
    code, output = engine.run("up", "--yes", "--skip-preview")
    assert code == 0, output
    _, outputs = engine.run("stack", "output", "--json")
    assert json.loads(outputs) == {
        "names": ["language-host", "here", "organization"],
        "secret": "[secret]",
        "thing": "allowed",
    }
    assert engine.processes() == []


def test_the_state_says_where_a_resource_was_made_and_not_how_the_program_was_started(engine: Engine) -> None:
    engine.program(NESTED)
    code, output = engine.run("up", "--yes", "--skip-preview")
    assert code == 0, output
    _, exported = engine.run("stack", "export")
    (inner,) = [r for r in json.loads(exported)["deployment"]["resources"] if r["urn"].endswith("::inner")]
    stack = [frame.get("sourcePosition", "") for frame in inner["stackTrace"]]
    assert [frame.partition("#")[0] for frame in stack[:3]] == ["project:///__main__.py"] * 3
    assert not [frame for frame in stack if "asyncio" in frame]


def test_a_policy_pack_lets_pass_what_it_allows_and_stops_what_it_does_not(engine: Engine) -> None:
    code, output = engine.run("up", "--yes", "--skip-preview", "--policy-pack", "pack")
    assert code == 0, output
    assert engine.run("config", "set", "thing", "forbidden")[0] == 0
    code, output = engine.run("up", "--yes", "--skip-preview", "--policy-pack", "pack")
    assert code != 0
    assert "this thing is forbidden" in output
    assert "said by the pack" in output
    assert engine.processes() == []


@pytest.mark.parametrize(
    ("program", "shown", "not_shown"),
    [
        ("raise ValueError('wrong value')", "ValueError: wrong value", "language_program"),
        ("import pulumi\nraise pulumi.RunError('said plainly')", "said plainly", "exit code"),
        ("import sys\nsys.exit(3)", "non-zero exit code: 3", "Traceback"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL", "Traceback"),
        ("import does_not_exist", "No module named 'does_not_exist'", "language_program"),
    ],
    ids=["exception", "run-error", "exit", "killed", "import"],
)
def test_a_program_that_fails_fails_the_update_with_its_own_error(
    engine: Engine, program: str, shown: str, not_shown: str
) -> None:
    engine.program(program)
    code, output = engine.run("preview")
    assert code != 0
    assert shown in output
    assert not_shown not in output


def test_an_error_that_was_shown_is_not_shown_again(engine: Engine) -> None:
    engine.program("raise ValueError('once')")
    _, output = engine.run("preview")
    assert "ValueError: once" in output
    assert "exit code" not in output


def test_a_command_ends_without_waiting_for_its_language_host(engine: Engine) -> None:
    engine.program(PROGRAM + '\nopen("ended", "w").close()\n')
    assert engine.run("preview")[0] == 0
    waited = time.time() - (engine.project / "ended").stat().st_mtime
    assert waited < 8, "a host that ignores the engine's SIGINT costs ten seconds"


@pytest.mark.parametrize("command", [("preview",), ("preview", "--policy-pack", "pack")], ids=["program", "policy"])
def test_after_kill_9_of_the_engine_no_process_stays(engine: Engine, command: tuple[str, ...]) -> None:
    os.mkfifo(engine.project / "never")
    engine.program(ENDLESS)
    with engine.start(*command) as process:
        assert eventually((engine.project / "running").exists)
        assert len(engine.processes("tools.language_program")) == len(command) // 2 + 1
        process.send_signal(signal.SIGKILL)
        assert eventually(lambda: engine.processes() == [], seconds=10)


def test_after_kill_9_of_the_language_host_no_process_of_its_stays(engine: Engine) -> None:
    os.mkfifo(engine.project / "never")
    engine.program(ENDLESS)
    with engine.start("preview") as process:
        assert eventually((engine.project / "running").exists)
        (host,) = engine.processes("pulumi-language-python")
        host.kill()
        assert eventually(lambda: engine.processes("tools.language_program") == [], seconds=10)
        process.communicate(timeout=60)
    assert process.returncode != 0


def test_an_interrupted_engine_ends_its_program(engine: Engine) -> None:
    os.mkfifo(engine.project / "never")
    engine.program(ENDLESS)
    with engine.start("preview") as process:
        assert eventually((engine.project / "running").exists)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert eventually(lambda: engine.processes() == [], seconds=10)
