"""How the benches time and tell: works that take turns, the middle of their times, one JSON line a measurement."""

import json
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Taken:
    """Seconds by the clock, and of processors by the processes that a work started and waited for."""

    seconds: float
    processor_seconds: float


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """The better of two, so that what is imported and compiled once counts nowhere."""
    first = time.perf_counter()
    work()
    second = time.perf_counter()
    result = work()
    return min(second - first, time.perf_counter() - second), result


def in_turns(rounds: int, works: Mapping[str, Callable[[], object]]) -> dict[str, Taken]:
    """The middle of what each work took. All take turns, so what else the machine does meets all of them."""
    found: dict[str, list[Taken]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            began, used = time.perf_counter(), _used()
            work()
            found[name].append(Taken(time.perf_counter() - began, _used() - used))
    return {
        name: Taken(statistics.median(t.seconds for t in taken), statistics.median(t.processor_seconds for t in taken))
        for name, taken in found.items()
    }


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def tell(measurement: str, **values: object) -> None:
    """One line; seconds and ratios with three digits are as exact as a shared machine is."""
    rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}
    print(json.dumps({"measurement": measurement, **rounded}), flush=True)
