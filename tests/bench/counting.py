"""Counts decisions and verified signatures where they are made: in the program's process, and in the policy pack's.

What another process verified for the program counts as the program takes it over.

Owns the wrapping of the product's own functions, done before anything of it is imported by name, and the lines by which
another process reads the counts.
"""

import json
import runpy
from pathlib import Path

from securesystemslib.dsse import Envelope
from securesystemslib.signer import Key  # pyright: ignore[reportPrivateImportUsage] # in its __all__ by name only

from schemas.promotion import decide, envelope
from schemas.promotion.decision import Approved
from schemas.promotion.trust import Trust

FILE = "counted.jsonl"
PROGRAM, PACK = "program", "policy pack"


def run_counted(who: str, main: str, counts: str) -> None:
    """Run a program; each time that it has decided, a line says how much."""
    verified = 0
    verify, remember = Envelope.verify, envelope.remember
    deciding = decide.decide

    def counted_verify(self: Envelope, keys: list[Key], threshold: int) -> dict[str, Key]:
        nonlocal verified
        found = verify(self, keys, threshold)
        verified += 1
        return found

    def counted_decide(known: decide.Known) -> decide.Decisions:
        decisions = deciding(known)
        approved = sum(isinstance(d, Approved) for d in decisions.values())
        line = {"who": who, "decisions": len(decisions), "approved": approved, "verified_so_far": verified}
        with Path(counts).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return decisions

    def counted_remember(found: envelope.Found, trust: Trust) -> None:
        nonlocal verified
        verified += sum(isinstance(f, envelope.Verified) for _, f in found.values())
        remember(found, trust)

    Envelope.verify = counted_verify
    envelope.remember = counted_remember
    decide.decide = counted_decide
    runpy.run_path(main, run_name="__main__")


def counted(counts: Path) -> dict[str, dict[str, int]]:
    """What each of them did in all."""
    found: dict[str, dict[str, int]] = {}
    for line in map(json.loads, counts.read_text("utf-8").splitlines()):
        so_far = found.setdefault(line["who"], {"decisions": 0, "approved": 0, "verified_signatures": 0})
        so_far["decisions"] += line["decisions"]
        so_far["approved"] += line["approved"]
        so_far["verified_signatures"] = max(so_far["verified_signatures"], line["verified_so_far"])
    return found
