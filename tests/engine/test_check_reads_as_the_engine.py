"""What `connector check` takes for a string is, letter by letter, the string that the engine hands to a program."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (What the engine hands over is JSON.)

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from schemas.strict_yaml import read_yaml
from tools.pulumi_cli import search_path

PROGRAM = """
import os

with open("engine.json", "w") as file:
    file.write(os.environ["PULUMI_CONFIG"])
"""

NUMERIC = st.text("0123456789+-._:eExXoObBaAfF", min_size=1, max_size=12)
WORDS = st.sampled_from(
    [
        "true",
        "True",
        "TRUE",
        "yes",
        "Yes",
        "no",
        "NO",
        "on",
        "Off",
        "y",
        "N",
        "null",
        "Null",
        "~",
        ".inf",
        "-.INF",
        ".nan",
        "=",
        "<<",
        "1:30",
        "0o7",
        "017",
        "0x1F",
        "0b1",
        "1_000",
        "0001002",
        "1.10",
        "12e3",
        "2024-01-01",
        "2024-01-01T10:00:00Z",
        "08",
        "-0",
        "+1",
        ".5",
        "5.",
        "0.",
        "1e1",
        "-",
        "--",
        "---",
        "...",
        "?",
        ":",
        "::",
        "@a",
        "`a",
        "%a",
        "a#b",
        "a:b",
        "a,b",
        "[a",
        "{a",
    ]
)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
ESCAPES = st.lists(
    st.sampled_from(
        [
            *[
                r"\0",
                r"\a",
                r"\b",
                r"\t",
                r"\n",
                r"\v",
                r"\f",
                r"\r",
                r"\e",
                r"\"",
                r"\/",
                r"\\",
                r"\N",
                r"\_",
                r"\L",
                r"\P",
                r"\x41",
                r"\xe9",
                r"\u0041",
                r"\u2028",
                r"\ud83d",
                r"\ude00",
                r"\U0001F600",
            ],
            "a",
        ]
    ),
    max_size=5,
).map("".join)

SCALARS = st.one_of(
    NUMERIC,
    WORDS,
    TEXT,
    TEXT.map(lambda t: "'" + t.replace("'", "''") + "'"),
    NUMERIC.map(lambda t: f"'{t}'"),
    st.one_of(TEXT, NUMERIC).map(lambda t: json.dumps(t, ensure_ascii=False)),
    TEXT.map(json.dumps),
    ESCAPES.map(lambda t: f'"{t}"'),
)


class Engine:
    """A project whose program writes down what it was handed."""

    def __init__(self, folder: Path, cli: Path) -> None:
        self.folder, self.cli = folder, cli
        for name in ("home", "backend"):
            (folder / name).mkdir()
        self.environment = {
            "HOME": str(folder / "home"),
            "PATH": os.pathsep.join([*map(str, search_path(cli)), "/usr/bin", "/bin"]),
            "PULUMI_BACKEND_URL": (folder / "backend").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "passphrase",
            "PULUMI_HOME": str(folder / "home" / "pulumi"),
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
        }
        (folder / "Pulumi.yaml").write_text("name: teams-ehr-connector\nruntime: python\n")
        (folder / "__main__.py").write_text(PROGRAM)
        self.run("stack", "init", "scratch")

    def run(self, *arguments: str) -> None:
        subprocess.run(
            [self.cli, *arguments, "--non-interactive"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=True,
        )

    def read(self, scalars: list[str]) -> list[object]:
        """The scalars of one list, as the program got them."""
        lines = "".join(f"    - {scalar}\n" for scalar in scalars)
        (self.folder / "Pulumi.scratch.yaml").write_text(f"config:\n  teams-ehr-connector:values:\n{lines}", "utf-8")
        self.run("preview", "--stack", "scratch")
        handed = json.loads((self.folder / "engine.json").read_text("utf-8"))
        return json.loads(handed["teams-ehr-connector:values"])


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, pulumi_executable: Path) -> Engine:
    return Engine(tmp_path_factory.mktemp("engine"), pulumi_executable)


def strict(scalar: str) -> str | None:
    """The string that check reads, or None where it refuses the scalar."""
    reading = read_yaml(f"a:\n  b:\n    - {scalar}\n    - end\n")
    if reading.findings or not isinstance(reading.value, dict):
        return None
    values = reading.value["a"]["b"]
    return values[0] if isinstance(values, list) and len(values) == 2 and isinstance(values[0], str) else None


# A failing example names the scalar itself, so it is not made smaller: each step of that would be a run of the engine.
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    phases=[Phase.explicit, Phase.generate],
)
@given(scalars=st.lists(SCALARS, min_size=200, max_size=400))
def test_a_string_of_check_is_the_string_of_the_program(engine: Engine, scalars: list[str]) -> None:
    accepted = {scalar: value for scalar in scalars if (value := strict(scalar)) is not None}
    if accepted:
        assert dict(zip(accepted, engine.read(list(accepted)), strict=True)) == accepted


def test_the_engine_reads_an_unquoted_identifier_as_another_number(engine: Engine) -> None:
    assert strict("0001002") is None
    assert engine.read(["0001002", '"0001002"']) == [514, "0001002"]
