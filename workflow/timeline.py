"""The demonstration's timeline: one line as each thing happens, and a summary.

Owns how it is printed. It names appointments and roles, as the EHR's own pages do, and nobody.
"""

import time
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

COLOURS = {"provider": "cyan", "patient": "magenta", "meeting": "green", "ehr": "yellow", "promotion": "blue"}
QUIET_SECONDS = 2.0


class Timeline:
    """Prints to a console; lines of the engine come at most every two seconds."""

    def __init__(self, console: Console) -> None:
        self.console = console
        if not console.is_terminal:
            console.width = 120
        self._resources = 0
        self._last = 0.0

    def report(self, line: str) -> None:
        """A line of set-up or clean-up."""
        if line.startswith(("created ", "updated ", "deleted ", "replaced ")):
            self._resources += 1
            if time.monotonic() - self._last < QUIET_SECONDS:
                return
            self._last = time.monotonic()
            line = f"{line} ({self._resources} so far)"
        else:
            self._resources = 0
        self._print(f"[dim]{escape(line)}[/]")

    def say(self, organization: str, csn: str, who: str, what: str) -> None:
        colour = COLOURS.get(who, "white")
        self._print(f"{organization:<14} {csn:<25} [{colour}]{who:<9}[/] {escape(what)}")

    def summary(self, document: dict[str, Any]) -> None:
        steps = Table("step", "connection", "digest", "reasons", title="approval and promotion", title_justify="left")
        for s in document["promotion"]:
            about = s.get("connection") or s.get("organization") or "all"
            digests = [s["sha256"]] if "sha256" in s else [one["sha256"] for one in s.get("connections", ())]
            steps.add_row(s["step"], about, " ".join(d[:12] for d in digests), ", ".join(s["reasons"]))
        self.console.print(steps)
        table = Table("organisation", "geography", "location", "visits", "launches", "write-backs")
        for o in document["organizations"]:
            visits = o["visits"]
            told = sum(len(v["write_backs"]) for v in visits)
            launches = sum(v["launches"] for v in visits)
            table.add_row(o["id"], o["geography"], o["location"], str(len(visits)), str(launches), str(told))
        self.console.print(table)
        seconds = ", ".join(f"{name} {value:.1f}" for name, value in document["seconds"].items())
        resources = sum(document["resources"].values())
        self.console.print(f"{resources} resources; seconds: {seconds}; nothing is left running")

    def _print(self, line: str) -> None:
        now = f"{datetime.now().astimezone():%H:%M:%S.%f}"[:-4]
        self.console.print(f"[dim]{now}[/] {line}", highlight=False, soft_wrap=True)
