"""One process that runs one Pulumi program or one policy pack, started by the language host and never outliving it.

Owns: what a Python program finds when the engine runs it (settings, configuration, event loop) and how its end is told
by exit code. Leaves out: the protocol with the engine (language_host).

Standard input is a pipe whose other end the language host holds: when it closes, this process ends, however the host
ended. The exit code 32 means that the error has been shown already.
"""

import asyncio
import gc
import json
import logging
import os
import runpy
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi.runtime

ERROR_ALREADY_SHOWN = 32
ORPHANED = 70  # EX_SOFTWARE: nobody is left to read the reason

FRAMES = 10
"""The engine keeps with each resource the stack on which it was made, down to the first frame of the process: a quarter
of a state was lines of the event loop, under paths of one machine. Of the innermost frames five or six are the SDK's,
which it leaves out; the program's remain (traceback.extract_stack: `limit`, whose default this is)."""


@dataclass(frozen=True)
class ProgramRun:
    """What the engine's Run request says, less the configuration, which comes by environment as the SDK reads it."""

    project: str
    stack: str
    organization: str
    root_directory: str
    program: str  # file or folder, absolute
    directory: str  # working directory
    monitor: str
    engine: str
    dry_run: bool
    parallel: int
    arguments: list[str]

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> "ProgramRun":
        return cls(**json.loads(text))


def end_with_parent() -> None:
    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os._exit(ORPHANED)

    threading.Thread(target=wait, daemon=True, name="end-with-parent").start()


def run_program(run: ProgramRun) -> int:
    pulumi.runtime.set_all_config(pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env())
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            project=run.project,
            stack=run.stack,
            organization=run.organization,
            root_directory=run.root_directory,
            monitor=run.monitor,
            engine=run.engine,
            dry_run=run.dry_run,
            parallel=run.parallel,
        )
    )
    sys.tracebacklimit = FRAMES
    os.chdir(run.directory)
    sys.argv = [run.program, *run.arguments]
    path = Path(run.program)
    main = path / "__main__.py" if path.is_dir() else path
    if not main.is_file():
        pulumi.log.error(f"expected a Pulumi program in Python at {main}, found none")
        return ERROR_ALREADY_SHOWN
    return _run_in_stack(run, main)


def _run_in_stack(run: ProgramRun, main: Path) -> int:
    # A program that fails leaves futures unobserved by design; asyncio's complaints would hide the one real error.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(max_workers=max(run.parallel, 1) * 4)
    loop.set_default_executor(executor)

    async def program() -> None:
        runpy.run_path(run.program, run_name="__main__")
        await _settled()

    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(program))
    except pulumi.RunError as error:
        # Told plainly, and that is all: the engine adds no "unhandled error" below it.
        pulumi.log.error(str(error))
        return ERROR_ALREADY_SHOWN
    except Exception as error:  # noqa: BLE001 - whatever the program raises is shown as its own failure
        pulumi.log.error(f"Program failed with an unhandled exception:\n{_traceback_from(main, error)}")
        return ERROR_ALREADY_SHOWN
    finally:
        executor.shutdown(wait=True)
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


async def _settled() -> None:
    """Until what the program began has ended, or the first of it has failed, which the SDK then tells.

    The SDK's own waiting looks at every output anew whenever one is there: with a thousand, for longer than all the
    rest takes. It finds them ended now.
    """
    known: Any = pulumi.runtime.settings
    outputs: set[asyncio.Future[Any]] = known.SETTINGS.outputs
    calls: list[asyncio.Future[Any]] = known._get_rpc_manager().rpcs
    while pending := [future for future in (*outputs, *calls) if not future.done()]:
        _, unfinished = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
        if unfinished:
            return


def _traceback_from(main: Path, error: Exception) -> str:
    """The traceback from the program's own first line on: what called it is no help to its reader."""
    frames = traceback.extract_tb(error.__traceback__)
    resolved = main.resolve()
    first = next((index for index, frame in enumerate(frames) if Path(frame.filename).resolve() == resolved), 0)
    return "".join(traceback.format_exception(error, limit=first - len(frames)))


def run_policy_pack(arguments: list[str]) -> None:
    """As the SDK starts it: `python -m pulumi.policy ENGINE_ADDRESS FOLDER`."""
    sys.argv = ["pulumi.policy", *arguments]
    runpy.run_module("pulumi.policy", run_name="__main__", alter_sys=True)


def main() -> None:
    end_with_parent()
    gc.disable()  # the SDK's many thousand classes are here to stay, and so is what a program makes: it ends soon
    match sys.argv[1:]:
        case ["program", encoded]:
            code = run_program(ProgramRun.decode(encoded))
            gc.freeze()  # a process that ends collects once more, disabled or not: a tenth of a preview's time
            sys.exit(code)
        case ["policy-pack", *arguments]:
            run_policy_pack(arguments)
        case _:
            sys.exit("expected: program RUN | policy-pack ENGINE_ADDRESS FOLDER")


if __name__ == "__main__":
    main()
