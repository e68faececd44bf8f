"""`make mutate`: takes each rule away in turn; its tests must fail, and no other unit test.

Unit tests are those of `tests/unit`. First all of them run with every rule in place, and it is noted which test comes
to which rule's place; who takes what another one computed came to the same places (`memory.py`). Up to the place the
code does the same without the rule (`guards.py`), so a test that never came to it cannot end differently: without a
rule only the tests that came to it are run, and a marked one that did not is told. What is come to while tests are
collected is no test's, and is told as wrong.

A program that a test starts is not guarded: it has every rule, whichever is away. The runtime's refusals are not taken
away: their tests are no unit tests (`kinds.py`).
Prints each file of tests as it is done, then a table: rule, how many of its tests failed, and what is wrong. Ends with
1 where anything is.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.mutation.kinds import guard_all, kind_of_each
from tests.mutation.memory import note_caches
from tests.mutation.passes import Collected, OfFile, collect
from tests.mutation.verdicts import Run

ROOT = Path(__file__).resolve().parents[2]
UNIT = ("tests/unit",)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__)
    parser.add_argument("rules", nargs="*", help="codes; every rule where none is named")
    parser.add_argument("--of", nargs="+", default=UNIT, metavar="PATH", help="of these tests only")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    os.chdir(ROOT)
    started = time.monotonic()
    note_caches()
    guard_all()
    known = kind_of_each()
    if unknown := [code for code in asked.rules if code not in known]:
        print(f"expected codes of rules, got {', '.join(unknown)}")
        return 1
    with os.fdopen(os.dup(1), "w", buffering=1) as out:  # the processes of the passes are silent
        wrong = mutate(
            asked.rules or [*known], asked.of, asked.processes, lambda line: print(line, file=out, flush=True)
        )
    print(f"{len(asked.rules or known)} rules taken away, {wrong} wrong, {time.monotonic() - started:.0f} s")
    return 1 if wrong else 0


def mutate(codes: Sequence[str], paths: Sequence[str], processes: int, tell: Callable[[object], None]) -> int:
    """How many rules are wrong; each is told. Tests that fail with every rule count as one."""

    def passes(tests: Collected) -> int:
        files = sorted(tests.files, key=lambda file: -len(tests.files[file]))
        found: list[OfFile] = []
        with ThreadPoolExecutor(processes) as pool:
            for done in as_completed([pool.submit(tests.of_file, file, codes) for file in files]):
                found.append(done.result())
                tell(f"{len(found)} of {len(files)} files: {found[-1]}")
        seen = [one for file in found for one in file.seen]
        if failed := [one.test for one in seen if one.failed]:
            tell("\n  ".join(["With every rule these fail:", *failed]))
            return 1
        tell(f"{len(seen)} tests pass with every rule")
        runs = [Run.of(code, found, collecting=code in tests.reached) for code in codes]
        for run in runs:
            tell(run)
        return sum(bool(run.verdict) for run in runs)

    return collect(paths, passes)


if __name__ == "__main__":
    sys.exit(main())
