"""What deciding costs beside reading and verifying, for the organisations of a test stack, each approved and rehearsed.

Compared with one load of the same files and the bare signature verifications, without which no decision can be made.
"""

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.loading import load_stack
from schemas.promotion.approvals import Approvals, known_of_stack
from schemas.promotion.decide import Approved, decide
from schemas.promotion.envelope import unsigned
from schemas.stack_config import StackConfig
from tests.bench.organizations import SAMPLE, project
from tests.bench.timing import tell, timed
from tests.support.statements import IMAGE, NOW, accepted, emulated_anchors

GOAL = 2.0


def loaded(files: dict[str, str]) -> StackConfig:
    found = load_stack(SAMPLE, files.__getitem__)
    assert found.stack is not None, found.errors[:3]
    return found.stack


def bare(approvals: Approvals) -> None:
    """Every signature, with the key at hand."""
    keys: dict[str, Any] = {}
    for anchor in emulated_anchors().keys:
        keys[anchor.key_id] = serialization.load_der_public_key(base64.b64decode(anchor.public_key))
    for file in approvals.statements:
        envelope = json.loads(file.content)
        (signature,) = envelope["signatures"]
        pae = unsigned(base64.b64decode(envelope["payload"])).pae()
        keys[signature["keyid"]].verify(base64.b64decode(signature["sig"]), pae, ec.ECDSA(hashes.SHA256()))


def decided(stack: StackConfig, approvals: Approvals) -> None:
    decisions = decide(known_of_stack(stack, approvals, emulated_anchors(), IMAGE, NOW))
    assert all(isinstance(d, Approved) for d in decisions.values())


def measure(organizations: int) -> None:
    files = project(organizations)
    parse, stack = timed(lambda: loaded(files))
    approvals = accepted(stack)
    signatures, _ = timed(lambda: bare(approvals))
    check, _ = timed(lambda: decided(loaded(files), approvals))
    decision, _ = timed(lambda: decided(stack, approvals))
    tell(
        "connector check --promotion beside one load and the bare signatures",
        organizations=organizations,
        connections=3 * organizations,
        statements=len(approvals.statements),
        load_seconds=parse,
        bare_signatures_seconds=signatures,
        decide_seconds=decision,
        check_promotion_seconds=check,
        decide_to_bare_signatures=decision / signatures,
        ratio=check / (parse + signatures),
        goal_at_most=GOAL,
    )
