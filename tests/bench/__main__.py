"""`make bench`: what the product costs beside what it cannot do without; a JSON line a measurement, of one run each.

For comparing, never asserted: another machine, or this one at another hour, gives other numbers. `--only` chooses.
"""

import argparse
import sys
from collections.abc import Callable

from tests.bench import components, deciding, launches, previews, starting

MEASUREMENTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "starting": lambda chosen: starting.measure(3 * chosen.rounds),
    "deciding": lambda chosen: deciding.measure(chosen.organizations),
    "previews": lambda chosen: previews.measure(chosen.organizations, 3 * chosen.rounds),
    "components": lambda chosen: components.measure(chosen.rounds),
    "launches": lambda chosen: launches.measure(10 * chosen.rounds),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--organizations", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3, help="how often the works of a measurement take turns")
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS))
    chosen = parser.parse_args()
    for name in chosen.only:
        MEASUREMENTS[name](chosen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
