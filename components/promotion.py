"""Whether this update may happen, decided before the first resource.

Owns how the program reads what the decision rests on, and how it refuses: an update of production stops with every
reason of every connection; a preview warns. A connection that is withdrawn stops nothing: the runtime takes no launches
for it. The policy pack decides again from what is emitted (`policies/approval.py`), and the runtime at its start.
"""

from datetime import UTC, datetime
from pathlib import Path

import pulumi

from components.program import UNDECIDED, digest_of_image
from components.project_files import files_of
from components.source import Source, SourceBroken
from schemas.integration_records import are_shown, records_json, records_of
from schemas.promotion.approvals import Approvals, known_of_stack
from schemas.promotion.decide import Decisions, decide, stops
from schemas.promotion.reading import SourceInvalid, anchors_of, source_of
from schemas.promotion.telling import cautions, refusal
from schemas.promotion.trust import AnchorsInvalid
from schemas.stack_config import StackConfig
from schemas.vocabulary import GeographyName

MOST_RECORDS = 8
"""Connections whose integration records are outputs of a geography."""


def decided(stack: StackConfig, approvals: Approvals, source: Source, project: Path) -> Decisions:
    """The decision for every connection of this stage; `source` gives the test stack from which it is promoted.

    Raises `pulumi.RunError` where an update must not happen.
    """
    image, now = digest_of_image(stack.image, project), datetime.now(UTC)
    try:
        anchors = anchors_of(stack.cloud, files_of(project))
        known = known_of_stack(stack, approvals, anchors, image, now, source=source_of(stack, source.load))
        if known.proposals is not None:
            source.verify(stack, approvals, known.trust)
        decisions = decide(known)
    except (SourceInvalid, SourceBroken, AnchorsInvalid, OSError) as problem:
        raise pulumi.RunError(f"{UNDECIDED}\n{problem}") from None
    _warn("promotion", cautions(decisions.values()))
    stopping = stops(decisions, stack.stage)
    if stopping and not pulumi.runtime.is_dry_run():
        raise pulumi.RunError(f"Production is refused; nothing was changed in Azure.\n{refusal(decisions, stopping)}")
    if stopping:
        _warn("`pulumi up` would be refused", refusal(decisions, stopping))
    return decisions


def records(stack: StackConfig, decisions: Decisions) -> dict[str, dict[str, object]]:
    """Outputs by geography: what is copied into the EHR, of approved connections alone.

    Outputs must not grow with organisations: beyond `MOST_RECORDS` connections there is the command that prints them.
    """
    return {str(name): _records_in(stack, name, decisions) for name in stack.geographies}


def _records_in(stack: StackConfig, name: GeographyName, decisions: Decisions) -> dict[str, object]:
    hosts = stack.geographies[name].public_hosts
    approved = [(o, c) for o in stack.served_in(name) for c in o.connections if are_shown(decisions.get(c.id))]
    found: dict[str, object] = {"approved_connections": len(approved)}
    if len(approved) <= MOST_RECORDS:
        found["integration_records"] = [records_json(o, c, records_of(c, hosts)) for o, c in approved]
    else:
        found["integration_records"] = "connector records CONNECTION"
    return found


def _warn(what: str, text: str) -> None:
    if text:
        pulumi.log.warn(f"{what}\n{text}")
