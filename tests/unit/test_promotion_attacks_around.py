"""Attacks on what stands around an approval: configuration, people, rehearsals, lists, what is promoted.

As in `test_promotion_attacks.py`: one change, signed again where the attacker could, one reason, nobody else touched.
"""

from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.promotion.envelope import StatementFile
from schemas.promotion.reasons import Code
from schemas.promotion.statement import Account, ConnectionReference, at
from schemas.promotion.trust import key_id_of
from schemas.stack_config import EhrKind, Person
from schemas.vocabulary import Stage
from tests.support.accepted import (
    ELSEWHERE,
    GEOGRAPHY,
    OPERATOR,
    ORGANIZATION,
    OWN_KEY,
    PORTAL,
    PRODUCTION,
    PRODUCTION_OPERATOR,
    TEST,
    WORKER,
    WORKER_ELSEWHERE,
    connection_of,
    organization_of,
    others_stand,
    outcome,
    payload_of,
    sha256_of,
)
from tests.support.attacks import (
    APPROVAL,
    LIST,
    OTHER_ID,
    REHEARSAL,
    REVOKED,
    URL,
    A,
    Attack,
    Row,
    again,
    alone,
    approval,
    copied,
    edited,
    edited_digest,
    entry,
    listed,
    one_geography,
    rehearsal,
    renewed,
    requested,
    rows,
    with_host,
)
from tests.support.statements import NOW, digest_of, public_key_of, sign, statement_file
from tests.support.statements import rehearsal as rehearsed

PRAIRIE_TEST = ConnectionReference(
    id="prairie-test",
    sha256=digest_of(A.test, organization_of(A.test, "prairie"), connection_of(A.test, "prairie-test")),
)


LOOK_ALIKES = {
    "a dot at the host's end": URL.replace("127.0.0.1:", "127.0.0.1.:"),
    "another port": URL.replace(":8471", ":8472"),
    "a host in its xn-- form": URL.replace("127.0.0.1", "xn--lakesde-9za.example"),
    "percent-encoding": URL.replace("/interconnect", "/%69nterconnect"),
    "another case": URL.replace("/interconnect", "/Interconnect"),
    "a letter that looks like another": URL.replace("lakeside", "1akeside"),
    "another spelling of the address": URL.replace("127.0.0.1", "127.1"),
}

CONFIGURED: list[Row] = [
    *((f"a URL with {what}", edited(fhir_base_url=url), [Code.APPROVAL_URL]) for what, url in LOOK_ALIKES.items()),
    (
        "one character of a client id",
        edited(
            clients=connection_of(A.production, PRODUCTION).clients.model_copy(
                update={
                    "patient": connection_of(A.production, PRODUCTION).clients.patient.model_copy(
                        update={"client_id": "lakeside-prd-patienu"}
                    )
                }
            )
        ),
        [Code.CONFIGURATION_CHANGED],
    ),
    (
        "one digit of a record's id, in both stacks",
        lambda: A.configured(
            None, PRODUCTION, integration_record_ids=connection_of(A.test, TEST).integration_record_ids
        ),
        [Code.CONFIGURATION_CHANGED],
    ),
    (
        "another public host",
        lambda: replace(A, production=with_host(A, "localhost:8459")),
        [Code.CONFIGURATION_CHANGED],
    ),
    (
        "the approver changed with the promotion",
        edited(approver=Person(tenant_id=OTHER_ID, object_id=OTHER_ID, display_name="Ansel Analyst")),
        [Code.CONFIGURATION_CHANGED],
    ),
    (
        "the test connection edited after the approval",
        lambda: A.configured(Stage.TEST, TEST, frame_origins=("https://evil.example",)),
        [Code.TEST_CONNECTION_CHANGED],
    ),
    (
        "the proposal edited after the approval",
        lambda: A.configured(Stage.TEST, PRODUCTION, frame_origins=("https://evil.example",)),
        [Code.COPY_DIFFERS],
    ),
    (
        "a production connection that nobody proposed",
        lambda: A.organized(Stage.TEST, ORGANIZATION, connections=(connection_of(A.test, TEST),)),
        [Code.NOT_PROPOSED],
    ),
    (
        "a test connection unlike it, approved with it",
        lambda: again(A.configured(Stage.TEST, TEST, ehr=EhrKind.SMART)),
        [Code.TEST_CONNECTION_DIFFERS],
    ),
    ("an approval without a test connection", approval(test_connection=None), [Code.TEST_CONNECTION_MISSING]),
    (
        "a test connection that is another organisation's",
        lambda: A.said_anew(APPROVAL, PORTAL, test_connection=PRAIRIE_TEST).having(
            statement_file(
                WORKER, rehearsed(organization_of(A.test, ORGANIZATION), "prairie-test", NOW), PRAIRIE_TEST.sha256
            )
        ),
        [Code.TEST_CONNECTION_MISSING],
    ),
]

ADMINISTRATOR = connection_of(A.test, TEST).approver

PEOPLE: list[Row] = [
    (
        "an approver of the same object id in another tenant",
        approval(approver=Account(tenant_id=OTHER_ID, object_id=ADMINISTRATOR.object_id)),
        [Code.APPROVER_DIFFERS],
    ),
    (
        "an approver of the same tenant who is somebody else",
        approval(approver=Account(tenant_id=ADMINISTRATOR.tenant_id, object_id=OTHER_ID)),
        [Code.APPROVER_DIFFERS],
    ),
    (
        "the approver made an administrator after the approval",
        lambda: A.organized(None, ORGANIZATION, administrators=(ADMINISTRATOR,), one_person=True),
        [Code.SAME_PERSON_DIFFERS],
    ),
    (
        "one person, where two are needed",
        lambda: approval(same_person=True)().organized(None, ORGANIZATION, administrators=(ADMINISTRATOR,)),
        [Code.ONE_PERSON],
    ),
    ("an approver who claims to be an administrator", approval(same_person=True), [Code.SAME_PERSON_DIFFERS]),
]

REHEARSED: list[Row] = [
    ("no rehearsal", lambda: A.without(REHEARSAL), [Code.REHEARSAL_MISSING]),
    ("a rehearsal with another image", rehearsal(image="sha256:" + "b" * 64), [Code.REHEARSAL_IMAGE]),
    (
        "another image than was rehearsed",
        lambda: replace(alone(), image="x/y@sha256:" + "b" * 64),
        [Code.REHEARSAL_IMAGE],
    ),
    ("a rehearsal of another configuration", rehearsal(sha256="b" * 64), [Code.REHEARSAL_DIGEST]),
    ("another organisation's rehearsal", rehearsal(organization="prairie"), [Code.REHEARSAL_ORGANIZATION]),
    (
        "another geography's rehearsal",
        rehearsal(WORKER_ELSEWHERE, geography=ELSEWHERE),
        [Code.REHEARSAL_ORGANIZATION],
    ),
    ("a rehearsal that expired this second", rehearsal(expires=at(NOW)), [Code.REHEARSAL_EXPIRED]),
    ("a rehearsal of tomorrow", rehearsal(issued=at(NOW + timedelta(days=1))), [Code.REHEARSAL_EXPIRED]),
    ("a rehearsal by the portal", rehearsal(PORTAL), [Code.KEY_TYPE]),
    ("a rehearsal by another geography's worker", rehearsal(WORKER_ELSEWHERE), [Code.KEY_SCOPE]),
    ("a rehearsal by an own key", rehearsal(OWN_KEY), [Code.KEY_UNKNOWN]),
    ("a rehearsal edited", lambda: A.having(tampered_rehearsal()), [Code.SIGNATURE_INVALID]),
    (
        "a rehearsal renamed",
        lambda: A.without(REHEARSAL).having(
            StatementFile(REHEARSAL.replace("aaaaaa", "bbbbbb"), A.file(REHEARSAL).content)
        ),
        [Code.STATEMENT_MISPLACED],
    ),
]


def tampered_rehearsal() -> StatementFile:
    workers_id = key_id_of(public_key_of(WORKER))
    return StatementFile(REHEARSAL, sign(OWN_KEY, payload_of(A.file(REHEARSAL)), workers_id))


LISTS: list[Row] = [
    ("no list, ever", lambda: A.without(LIST), [Code.REVOCATIONS_NEVER_HELD]),
    ("a list that expired this second", listed(expires=at(NOW)), [Code.REVOCATIONS_STALE]),
    ("a list of tomorrow", listed(issued=at(NOW + timedelta(days=1))), [Code.REVOCATIONS_NOT_YET]),
    ("a list by the other stage's key", listed(OPERATOR), [Code.KEY_UNKNOWN]),
    ("a list by the portal", listed(PORTAL), [Code.KEY_TYPE]),
    (
        "the other stage's list",
        copied(LIST.replace("production", "test"), LIST),
        [Code.KEY_UNKNOWN],
    ),
    (
        "another geography's list",
        copied(LIST.replace(GEOGRAPHY, ELSEWHERE), LIST),
        [Code.STATEMENT_MISPLACED],
    ),
    (
        "an entry taken out, with the digest as it was",
        lambda: listed(revoked=(REVOKED,))().payload_changed(
            LIST, PRODUCTION_OPERATOR, lambda b: b.replace(b'"revoked":[{', b'"revoked":[],"x":[{')
        ),
        [Code.STATEMENT_MALFORMED],
    ),
    (
        "a list whose digest is another's",
        lambda: A.payload_changed(LIST, PRODUCTION_OPERATOR, lambda b: b.replace(b'"version":1', b'"version":2')),
        [Code.STATEMENT_MALFORMED],
    ),
    ("revoked", listed(revoked=(REVOKED,)), [Code.REVOKED]),
    (
        "revoked as it is configured now",
        listed(revoked=(REVOKED.model_copy(update={"sha256": sha256_of(A.file(APPROVAL))}),)),
        [Code.REVOKED],
    ),
]


PROMOTED: list[Row] = [
    (
        "a serial in promoted.json taken back",
        lambda: requested(renewed(), entry(serial=1)),
        [Code.PROMOTED_ROLLED_BACK],
    ),
    ("an entry of promoted.json removed", lambda: requested(A.served(), None), [Code.PROMOTED_ROLLED_BACK]),
    (
        "a digest in promoted.json that is not the connection's",
        lambda: requested(A.served(), entry(sha256="f" * 64)),
        [Code.PROMOTED_DIFFERS],
    ),
    (
        "a serial in promoted.json that no approval has",
        lambda: requested(A.served(), entry(serial=9)),
        [Code.PROMOTED_DIFFERS],
    ),
    (
        "a promotion of tomorrow",
        lambda: requested(A, entry(promoted_at=at(NOW + timedelta(days=1)))),
        [Code.PROMOTED_DIFFERS],
    ),
    (
        "an expired approval, with an entry that says it was promoted in time",
        lambda: requested(approval(expires=at(NOW))(), entry()),
        [Code.APPROVAL_EXPIRED],
    ),
    (
        "an edit, with an entry that says it is served so",
        lambda: requested(
            A.configured(Stage.PRODUCTION, PRODUCTION, frame_origins=("https://evil.example",)).served(),
            entry(sha256=edited_digest()),
        ),
        [Code.CONFIGURATION_CHANGED],
    ),
]


OF_LISTS = [(name, one_geography(attack), codes) for name, attack, codes in LISTS]


@pytest.mark.parametrize(("attack", "codes"), rows([*CONFIGURED, *PEOPLE, *REHEARSED, *OF_LISTS, *PROMOTED]))
def test_an_attack_around_an_approval_is_refused_for_one_reason(attack: Attack, codes: list[Code]) -> None:
    decisions = attack().decided()
    assert outcome(decisions[PRODUCTION]) == ("refused", codes)
    assert others_stand(decisions, PRODUCTION)
