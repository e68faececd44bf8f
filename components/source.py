"""What a process of its own does for an update of production while the program does the rest.

Production is compared with what the test stack proposes, so its program needs two stacks, and every statement on which
it rests. Each stack takes more than a second for a thousand organisations, their statements almost one, and Python
computes on one processor at a time. So another process loads the test stack, and then verifies two of three statements,
while the program verifies the third and packs the configuration documents.
"""

import atexit
import gc
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Thread

from pydantic import ValidationError

from components.project_files import files_of
from schemas.loading import Loaded, load_stack
from schemas.promotion.approvals import Approvals
from schemas.promotion.envelope import Found, StatementFile, find, remember, verify_all
from schemas.promotion.promoted import PromotedInvalid
from schemas.promotion.reading import anchors_of, approvals_below
from schemas.promotion.trust import AnchorsInvalid, Trust
from schemas.promotion_config import Promotion
from schemas.stack_config import PROJECT, StackConfig
from schemas.vocabulary import Cloud, Stage

CODE = Path(__file__).resolve().parents[1]

Load = Callable[[str], Loaded]
"""A stack by the name of its file."""


class SourceBroken(Exception):
    """The process that loads the test stack ended without an answer. What it said is on standard error."""


def _alone(_stack: StackConfig, _approvals: Approvals, _trust: Trust) -> None:
    """Nothing is verified before it is asked for."""


@dataclass(frozen=True)
class Source:
    """`load` gives a stack; it waits for the one that the other process loads, and raises `SourceBroken`.

    `verify` has the statements that a stack of production rests on verified, once there is a test stack: most of them
    by the other process. Of what it does not tell, or not of the same content, `verify_all` finds out itself.
    """

    load: Load
    verify: Callable[[StackConfig, Approvals, Trust], None] = _alone


def begin(values: Mapping[str, str], project: Path) -> Source:
    """Begin to load the test stack that the engine's values name, if they name one."""

    def load_here(file: str) -> Loaded:
        return load_stack(file, files_of(project).text)

    promotion = values.get(f"{PROJECT}:promotion", "")
    try:
        source = Promotion.model_validate_json(promotion).source
    except ValidationError:  # whoever checks the values says so
        source = None
    if source is None:
        return Source(load_here)
    begun = f"Pulumi.{source}.yaml"
    command = [sys.executable, "-m", "components.source", str(project), begun, values.get(f"{PROJECT}:cloud", "")]
    process = subprocess.Popen(command, cwd=CODE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(process.kill)  # a program may be refused before it asks
    to, told = process.stdin, process.stdout
    assert to is not None
    assert told is not None
    with suppress(BrokenPipeError), to:
        to.write(promotion.encode())

    @cache
    def load(file: str) -> Loaded:
        if file != begun:
            return load_here(file)
        try:
            return pickle.load(told)  # noqa: S301 - of our own process
        except (EOFError, pickle.UnpicklingError):
            code = process.wait()
            raise SourceBroken(f"the process that loads {begun} ended with code {code}; run it again") from None

    def verify(stack: StackConfig, approvals: Approvals, trust: Trust) -> None:
        mine, _ = _shares(_rests_on(stack, approvals))
        verify_all(mine, trust)
        with suppress(EOFError, pickle.UnpicklingError):
            remember(pickle.load(told), trust)  # noqa: S301 - of our own process

    return Source(load, verify)


def _rests_on(stack: StackConfig, approvals: Approvals) -> Sequence[StatementFile]:
    """The statements on which production rests: a stack of production, or what a test stack proposes."""
    connections = stack.proposed_in if stack.stage is Stage.TEST else stack.served_in
    found = (approvals.of_geography(Stage.PRODUCTION, g, connections(g)) for g in stack.geographies)
    return [statement for of_geography in found for statement in of_geography.statements]


def _shares(statements: Sequence[StatementFile]) -> tuple[Sequence[StatementFile], Sequence[StatementFile]]:
    """What the program verifies of them, and what the other process does."""
    others = list(statements)
    del others[::3]
    return statements[::3], others


def _tell(answer: Loaded | Found) -> None:
    with suppress(BrokenPipeError), open(sys.stdout.fileno(), "wb", closefd=False) as output:
        pickle.dump(answer, output, pickle.HIGHEST_PROTOCOL)  # to nobody, where the program was killed


def main(project: str, file: str, cloud: str) -> None:
    gc.disable()  # all that is made is told, and then the process ends
    promotion = Promotion.model_validate_json(sys.stdin.buffer.read())
    files = files_of(Path(project))
    loaded = load_stack(file, files.text)
    telling = Thread(target=_tell, args=(loaded,))  # until the program asks, a pipe takes no more than the beginning
    telling.start()
    found: Found = {}
    if loaded.stack is not None:
        with suppress(PromotedInvalid, AnchorsInvalid, OSError):  # the program reads them too, and says so
            trust = Trust(promotion.trusted_keys, anchors_of(Cloud(cloud), files))
            _, mine = _shares(_rests_on(loaded.stack, approvals_below(files)))
            found = find(mine, trust)
    telling.join()
    _tell(found)
    gc.freeze()  # a process that ends collects once more, disabled or not


if __name__ == "__main__":
    main(*sys.argv[1:])
