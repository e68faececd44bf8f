"""The test stack from which production is promoted, loaded by a process of its own while the program does the rest.

Production is compared with what the test stack proposes, so its program needs two stacks. Each takes more than a second
for a thousand organisations, and Python computes on one processor at a time.
"""

import atexit
import gc
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from components.project_files import files_of
from schemas.loading import Loaded, load_stack
from schemas.promotion_config import Promotion
from schemas.stack_config import PROJECT

CODE = Path(__file__).resolve().parents[1]

Load = Callable[[str], Loaded]
"""A stack by the name of its file."""


class SourceBroken(Exception):
    """The process that loads the test stack ended without an answer. What it said is on standard error."""


def begin(values: Mapping[str, str], project: Path) -> Load:
    """Begin to load the test stack that the engine's values name, if they name one.

    What is returned waits for it, and loads any other stack itself. It raises `SourceBroken`.
    """

    def load_here(file: str) -> Loaded:
        return load_stack(file, files_of(project).text)

    try:
        source = Promotion.model_validate_json(values.get(f"{PROJECT}:promotion", "")).source
    except ValidationError:  # whoever checks the values says so
        source = None
    if source is None:
        return load_here
    begun = f"Pulumi.{source}.yaml"
    command = [sys.executable, "-m", "components.source", str(project), begun]
    process = subprocess.Popen(command, cwd=CODE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    atexit.register(process.kill)  # a program may be refused before it asks

    @cache
    def load(file: str) -> Loaded:
        if file != begun:
            return load_here(file)
        output, _ = process.communicate()
        if process.returncode:
            raise SourceBroken(f"the process that loads {begun} ended with code {process.returncode}; run it again")
        return pickle.loads(output)  # noqa: S301 - of our own process

    return load


def main(project: str, file: str) -> None:
    gc.disable()  # all that is made is told, and then the process ends
    loaded = load_stack(file, files_of(Path(project)).text)
    with suppress(BrokenPipeError), open(sys.stdout.fileno(), "wb", closefd=False) as output:
        pickle.dump(loaded, output, pickle.HIGHEST_PROTOCOL)  # to nobody, where the program was killed


if __name__ == "__main__":
    main(*sys.argv[1:])
