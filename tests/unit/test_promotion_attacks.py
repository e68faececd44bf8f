"""Attacks on statements: each makes one change, signs again where the attacker could, and gets one reason.

Every other organisation's connections stay approved. Attacks on what stands around statements are in
`test_promotion_attacks_around.py`; those on the portal, the gate and the runtime are tested there.
"""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.promotion.envelope import StatementFile
from schemas.promotion.reasons import Code
from schemas.promotion.statement import Approval, Verdict, at
from schemas.vocabulary import Stage, StatementType
from tests.support.accepted import (
    ELSEWHERE,
    ORGANIZATION,
    OWN_KEY,
    PORTAL,
    PORTAL_ELSEWHERE,
    PRODUCTION,
    PRODUCTION_OPERATOR,
    TEST,
    WORKER,
    approval_of,
    envelope_with,
    others_stand,
    outcome,
    payload_of,
    sha256_of,
)
from tests.support.attacks import (
    APPROVAL,
    OTHER_ID,
    PORTALS_ID,
    PRAIRIE_APPROVAL,
    URL,
    A,
    Attack,
    Row,
    approval,
    copied,
    entry,
    injected,
    payload,
    rows,
    tampered,
    with_pin,
    without_anchor,
)
from tests.support.statements import NOW, sign, sign_as

REPLAYED: list[Row] = [
    (
        "an approval of another organisation's connection",
        copied(PRAIRIE_APPROVAL, APPROVAL),
        [Code.STATEMENT_MISPLACED],
    ),
    (
        "an approval of the same id in another organisation",
        approval(organization="prairie"),
        [Code.APPROVAL_ORGANIZATION],
    ),
    (
        "the organisation renamed",
        lambda: A.organized(None, ORGANIZATION, id="lakeview"),
        [Code.APPROVAL_ORGANIZATION],
    ),
    ("the test connection's approval", copied(A.path(Approval, TEST), APPROVAL), [Code.STATEMENT_MISPLACED]),
    ("an approval of the other stage", approval(stage=Stage.TEST), [Code.APPROVAL_STAGE]),
    ("an approval of another tenant", approval(tenant_id=OTHER_ID), [Code.APPROVAL_TENANT]),
    (
        "an approval of another geography, by its portal",
        approval(PORTAL_ELSEWHERE, geography=ELSEWHERE),
        [Code.APPROVAL_GEOGRAPHY],
    ),
    ("an approval by another geography's portal", approval(PORTAL_ELSEWHERE), [Code.KEY_SCOPE]),
    ("an approval of another URL", approval(fhir_base_url=URL.replace("prd", "tst")), [Code.APPROVAL_URL]),
    (
        "an approval of another digest",
        approval(sha256=sha256_of(A.file(PRAIRIE_APPROVAL))),
        [Code.CONFIGURATION_CHANGED],
    ),
    ("the file gone", lambda: A.without(APPROVAL), [Code.APPROVAL_MISSING]),
    ("the file renamed", copied(APPROVAL, APPROVAL.replace("000001", "000002")), [Code.STATEMENT_MISPLACED]),
    (
        "the file in another connection's folder",
        lambda: A.having(
            StatementFile(f"approvals/{ORGANIZATION}/{PRODUCTION}/x.json", A.file(PRAIRIE_APPROVAL).content)
        ),
        [Code.STATEMENT_MISPLACED],
    ),
]

KEYS: list[Row] = [
    ("a key that nobody lists", approval(OWN_KEY), [Code.KEY_UNKNOWN]),
    (
        "a key that calls itself the portal's",
        lambda: A.having(StatementFile(APPROVAL, sign(OWN_KEY, payload_of(A.file(APPROVAL)), PORTALS_ID))),
        [Code.SIGNATURE_INVALID],
    ),
    ("a key that the configuration alone lists", injected, [Code.KEY_NOT_IN_IMAGE]),
    ("a key that another image lists", lambda: without_anchor(A), [Code.KEY_NOT_IN_IMAGE]),
    (
        "a pin of another geography than the image says",
        with_pin(lambda k: k.model_copy(update={"geography": ELSEWHERE})),
        [Code.KEY_NOT_IN_IMAGE],
    ),
    ("the pin taken away", with_pin(lambda k: None), [Code.KEY_UNKNOWN]),
    (
        "a key retired before it signed",
        with_pin(lambda k: k.model_copy(update={"retired_at": at(NOW - timedelta(hours=1))})),
        [Code.KEY_RETIRED],
    ),
    ("an approval by the worker", approval(WORKER), [Code.KEY_TYPE]),
    ("an approval by who revokes", approval(PRODUCTION_OPERATOR), [Code.KEY_TYPE]),
    (
        "an approval by the worker, whose pin was widened",
        lambda: replace(
            with_pin(
                lambda k: k.model_copy(update={"statement_types": (StatementType.REHEARSAL, StatementType.APPROVAL)}),
                "worker-signing",
            )(),
            approvals=approval(WORKER)().approvals,
        ),
        [Code.KEY_TYPE],
    ),
]

WRITTEN: list[Row] = [
    (
        "another payload type, signed",
        lambda: A.having(StatementFile(APPROVAL, sign_as(PORTAL, payload_of(A.file(APPROVAL)), "application/json"))),
        [Code.PAYLOAD_TYPE],
    ),
    ("another predicate type, signed", payload(b":approval:1", b":approval:9"), [Code.STATEMENT_TYPE]),
    ("a rehearsal's type, signed", payload(b":approval:1", b":rehearsal:1"), [Code.STATEMENT_MALFORMED]),
    ("a duplicate key, signed", payload(b'"serial":1', b'"serial":1,"serial":1'), [Code.STATEMENT_MALFORMED]),
    ("an unknown field, signed", payload(b'"serial":1', b'"serial":1,"sudo":true'), [Code.STATEMENT_MALFORMED]),
    ("a fraction, signed", payload(b'"serial":1', b'"serial":1.0'), [Code.STATEMENT_MALFORMED]),
    ("a number in quotes, signed", payload(b'"serial":1', b'"serial":"1"'), [Code.STATEMENT_NOT_CANONICAL]),
    (
        "a word for a truth, signed",
        payload(b'"samePerson":false', b'"samePerson":"no"'),
        [Code.STATEMENT_NOT_CANONICAL],
    ),
    ("a null, signed", payload(b'"version":"August 2025"', b'"version":null'), [Code.STATEMENT_NOT_CANONICAL]),
    ("a space, signed", payload(b'"serial":1', b'"serial": 1'), [Code.STATEMENT_NOT_CANONICAL]),
    ("an escaped letter, signed", payload(b'"lakeside"', b'"lakes\\u0069de"'), [Code.STATEMENT_NOT_CANONICAL]),
    (
        "another subject, signed",
        payload(b'"lakeside/lakeside-production"', b'"prairie/prairie-production"'),
        [Code.STATEMENT_MALFORMED],
    ),
    (
        "a duplicate key in the envelope",
        lambda: A.bytes_changed(APPROVAL, lambda b: b.replace(b"{", b'{"payloadType":"x",', 1)),
        [Code.STATEMENT_MALFORMED],
    ),
    (
        "two signatures",
        lambda: A.bytes_changed(APPROVAL, lambda b: envelope_with(signatures=json.loads(b)["signatures"] * 2, of=b)),
        [Code.STATEMENT_MALFORMED],
    ),
    (
        "one byte of the payload",
        lambda: A.bytes_changed(APPROVAL, lambda b: b.replace(b'"payload":"eyJf', b'"payload":"eyJg')),
        [Code.SIGNATURE_INVALID],
    ),
    ("no JSON at all", lambda: A.bytes_changed(APPROVAL, lambda b: b"approved"), [Code.STATEMENT_MALFORMED]),
]

OF_TIME: list[Row] = [
    (
        "expired by one second, a new connection",
        approval(expires=at(NOW - timedelta(seconds=1))),
        [Code.APPROVAL_EXPIRED],
    ),
    ("expired this second, a new connection", approval(expires=at(NOW)), [Code.APPROVAL_EXPIRED]),
    (
        "expired, a connection that is served otherwise",
        lambda: replace(
            approval(expires=at(NOW))().served(),
            promoted=A.served().promoted.with_connection(PRODUCTION, entry(sha256="f" * 64)),
        ),
        [Code.APPROVAL_EXPIRED],
    ),
    (
        "not valid before the next second",
        approval(issued=at(NOW + timedelta(seconds=1))),
        [Code.APPROVAL_NOT_YET_VALID],
    ),
    ("for longer than anyone may", payload(b'"expires":"2027', b'"expires":"2037'), [Code.STATEMENT_MALFORMED]),
]

SERIALS: list[Row] = [
    (
        "a serial lower than one that was seen",
        lambda: replace(A, highest_serials={PRODUCTION: 2}),
        [Code.SERIAL_ROLLED_BACK],
    ),
    (
        "a refusal at the same serial",
        lambda: A.having(approval_of(A, PRODUCTION, decision=Verdict.REFUSE)),
        [Code.APPROVAL_REFUSED],
    ),
    (
        "a refusal after the approval",
        lambda: A.having(approval_of(A, PRODUCTION, decision=Verdict.REFUSE, serial=2)),
        [Code.APPROVAL_REFUSED],
    ),
    (
        "two approvals of one serial",
        lambda: A.also(approval_of(A, PRODUCTION, expires=at(NOW + timedelta(days=40)))),
        [Code.SERIAL_REPEATED],
    ),
    (
        "a refusal made unreadable",
        lambda: A.having(tampered(approval_of(A, PRODUCTION, decision=Verdict.REFUSE, serial=2))),
        [Code.SIGNATURE_INVALID],
    ),
    (
        "a refusal renamed",
        lambda: A.having(
            StatementFile(
                f"approvals/{ORGANIZATION}/{PRODUCTION}/old.json",
                approval_of(A, PRODUCTION, decision=Verdict.REFUSE, serial=2).content,
            )
        ),
        [Code.STATEMENT_MISPLACED],
    ),
]


def test_what_every_attack_starts_from_is_accepted() -> None:
    for stage in Stage:
        assert others_stand(A.decided(stage))
        assert others_stand(A.served().decided(stage))


@pytest.mark.parametrize(("attack", "codes"), rows([*REPLAYED, *KEYS, *WRITTEN, *OF_TIME, *SERIALS]))
def test_an_attack_on_a_statement_is_refused_for_one_reason(attack: Attack, codes: list[Code]) -> None:
    decisions = attack().decided()
    assert outcome(decisions[PRODUCTION]) == ("refused", codes)
    assert others_stand(decisions, PRODUCTION)
