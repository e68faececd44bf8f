"""Which statements are verified, and when: once while nothing changes, and only what a decision asks for."""

from dataclasses import replace

import pytest

from schemas.promotion import envelope
from schemas.promotion.decide import Approved
from schemas.promotion.envelope import StatementFile, Trust
from schemas.promotion.reasons import Code
from tests.support.accepted import accepted

W = accepted()


@pytest.mark.rule(Code.STATEMENT_MISPLACED, Code.KEY_UNKNOWN)
def test_a_file_is_verified_once_while_its_content_is_the_same(verified: list[str]) -> None:
    trust = Trust(W.production.promotion.trusted_keys, W.anchors)
    files = W.approvals.statements
    found = envelope.verify_all(files, trust)
    assert len(found[0]) + len(found[1]) == len(files)
    assert envelope.verify_all(files[:1], trust) == (found[0][:1], [])
    assert envelope.verify_all(files, trust) == found
    assert verified == [f.path for f in files]
    _, (rejected,) = envelope.verify_all([StatementFile(files[0].path, files[1].content)], trust)
    assert rejected.reason.code == Code.STATEMENT_MISPLACED
    assert verified.count(files[0].path) == 2


@pytest.mark.rule(Code.KEY_UNKNOWN)
def test_another_trust_verifies_anew(verified: list[str]) -> None:
    file = W.approvals.statements[0]
    assert len(envelope.verify_all([file], Trust(W.production.promotion.trusted_keys, W.anchors))[0]) == 1
    _, (rejected,) = envelope.verify_all([file], Trust((), W.anchors))
    assert rejected.reason.code == Code.KEY_UNKNOWN
    assert len(verified) == 2


def test_what_nobody_asks_for_is_not_verified(verified: list[str]) -> None:
    """What is served unchanged rests on its own approval and on a rehearsal, not on its test connection's approval."""
    assert W.served().decided()
    kinds = {p.split("/")[2].rpartition("-")[2] + " " + p.split("/")[3].partition("-")[0] for p in verified}
    assert kinds == {"production approval", "test rehearsal"}


@pytest.mark.parametrize(
    "path",
    [
        "",
        "x",
        "approvals/x.json",
        pytest.param(
            "approvals/lakeside/lakeside-production/a/b.json", marks=pytest.mark.rule(Code.STATEMENT_MISPLACED)
        ),
    ],
)
def test_a_file_that_stands_nowhere_takes_nothing_from_anybody(path: str) -> None:
    """A document that was tampered with may carry any path."""
    stray = StatementFile(path, W.approvals.statements[0].content)
    world = replace(W.served(), approvals=replace(W.approvals, statements=(stray, *W.approvals.statements)))
    assert {type(d) for d in world.decided().values()} == {Approved}
