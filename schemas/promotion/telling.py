"""Decisions in words, for who reads them in a terminal: by connection, every reason, and once what to do.

Owns the wording that `pulumi up`, `pulumi preview`, the policy pack and `connector` share. Plain text without control
characters; values in it were checked when they were read.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from schemas.promotion.decide import Approved, Decision, Refused, Withdrawn
from schemas.promotion.reasons import ADVICE, Code, Reason

WORDS: dict[type[Decision], str] = {Approved: "approved", Withdrawn: "withdrawn", Refused: "refused"}


def word(decision: Decision) -> str:
    """`approved`, `withdrawn` or `refused`."""
    return WORDS[type(decision)]


def reasons_of(decision: Decision) -> tuple[Reason, ...]:
    """Why it is not served or, where it is, its warnings."""
    match decision:
        case Approved(warnings=found):
            return found
        case Withdrawn(reasons=found) | Refused(reasons=found):
            return found
        case _:
            return ()


def refusal(decisions: Mapping[str, Decision], stops: Sequence[Refused]) -> str:
    """Why an update of production stops."""
    head = f"{len(stops)} of {_counted(len(decisions), 'connection')} may not be served in production"
    more = f"`connector explain {stops[0].connection}` says who approves it, where, and what was signed"
    return "\n".join([f"{head}:", *told(stops), *advice(stops), more])


def cautions(decisions: Iterable[Decision]) -> str:
    """What does not stop an update and somebody should know: withdrawn connections, and warnings; empty if nothing."""
    worth = [d for d in decisions if not isinstance(d, Refused) and reasons_of(d)]
    return "\n".join([*told(worth), *advice(worth)]) if worth else ""


def told(decisions: Iterable[Decision]) -> Iterator[str]:
    """A line for each connection, and an indented one for each of its reasons."""
    for decision in decisions:
        yield f"{decision.connection} ({decision.organization}): {word(decision)}"
        for reason in reasons_of(decision):
            yield f"  - {reason}"


def advice(decisions: Iterable[Decision]) -> Iterator[str]:
    """What to do, once for each code."""
    codes = dict.fromkeys(r.code for d in decisions for r in reasons_of(d))
    if codes:
        yield "what to do:"
    for code in codes:
        yield f"  {code}: {ADVICE[Code(code)]}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
