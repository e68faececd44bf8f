"""The values below the decision: forms and statements, trusted keys, the list that is held, what is promoted."""

import base64
import string
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pydantic import ValidationError

from schemas.promotion.approvals import Held, accept
from schemas.promotion.canonical import canonical
from schemas.promotion.digest import connection_digest, connection_form
from schemas.promotion.envelope import Reason, Rejected, StatementFile, Trust, Verified, signed, unsigned, verify
from schemas.promotion.promoted import Promoted, PromotedInvalid, read_promoted
from schemas.promotion.reasons import Code
from schemas.promotion.statement import (
    LONGEST_APPROVAL_DAYS,
    Approval,
    AuditHead,
    BreakGlass,
    Rehearsal,
    Revocations,
    Revoked,
    at,
    moment,
    next_serial,
    payload,
)
from schemas.promotion.trust import ANCHOR_FILES, AnchorsInvalid, Cloud, key_id_of, read_anchors
from schemas.stack_config import EhrConnection
from schemas.vocabulary import GeographyName, Stage, StatementType
from tests.support.accepted import (
    ELSEWHERE,
    GEOGRAPHY,
    OPERATOR,
    ORGANIZATION,
    PORTAL,
    PRODUCTION,
    TEST,
    WORKER,
    accepted,
    connection_of,
    organization_of,
    payload_of,
    predicate_of,
)
from tests.support.attacks import OTHER_ID, own_pin
from tests.support.statements import NOW, ROOT, Predicate, public_key_of, revocations, sign, statement_file

W = accepted()
LAKESIDE = organization_of(W.test, ORGANIZATION)
CONNECTION = connection_of(W.test, TEST)


def test_the_form_of_a_connection_is_as_documented() -> None:
    form = connection_form(LAKESIDE, CONNECTION, "visits.example.org")
    assert list(form) == ["form", "organization", "launchHost", "connection"]
    assert form["organization"] == {"id": "lakeside", "tenantId": LAKESIDE.tenant_id, "geography": "americas"}
    assert form["connection"]["clients"]["patient"] == {
        "clientId": "lakeside-tst-patient",
        "authentication": {"method": "none"},
    }
    assert not {"sharedWith", "tokenEndpointOrigins", "externalConnectionStatus"} & set(form["connection"])


def test_a_default_that_is_spelled_out_has_the_digest_of_one_that_is_not() -> None:
    values = CONNECTION.model_dump(by_alias=True)
    spelled = EhrConnection.model_validate({**values, "sharedWith": [], "tokenEndpointOrigins": []})
    assert connection_digest(LAKESIDE, spelled, "h") == connection_digest(LAKESIDE, CONNECTION, "h")


# --- statements -----------------------------------------------------------------------------------------------------


def test_a_statement_is_signed_over_the_pre_authentication_encoding() -> None:
    """DSSE protocol v1.0.2: "DSSEv1", lengths in ASCII decimal, single spaces."""
    body = payload_of(W.file(W.path(Approval, TEST)))
    expected = b"DSSEv1 28 application/vnd.in-toto+json " + str(len(body)).encode() + b" " + body
    assert unsigned(body).pae() == expected


@pytest.mark.rule(Code.STATEMENT_MALFORMED)
def test_a_statement_whose_signature_is_spelled_otherwise_does_not_count() -> None:
    """The spare bits of its base64 are set; three signatures in four have some, so one of forty does."""
    head = AuditHead(geography=GEOGRAPHY, stage=Stage.TEST, sequence=7, issued=at(NOW))
    files = (sign(WORKER, payload(head, "a" * 64)) for _ in range(40))
    content = next(file for file in files if b'="}' in file)
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    last = content.rindex(b'="}') - (2 if b'=="}' in content else 1)
    other = letters[letters.index(chr(content[last])) + 1].encode()
    found = verify(
        StatementFile("a/000000000007.json", content[:last] + other + content[last + 1 :]), trust(), placed=False
    )
    assert isinstance(found, Rejected)
    assert found.reason.code is Code.STATEMENT_MALFORMED


def test_a_statement_stands_where_its_content_says() -> None:
    assert [f.path for f in W.approvals.statements if "lakeside" in f.path] == [
        "approvals/lakeside/lakeside-test/approval-000001-approve.json",
        "approvals/lakeside/lakeside-test/rehearsal-20260601t113000z-aaaaaaaaaaaa.json",
        "approvals/lakeside/lakeside-production/approval-000001-approve.json",
    ]


def test_a_statement_of_no_place_is_verified_where_it_lies() -> None:
    head = AuditHead(geography=GEOGRAPHY, stage=Stage.TEST, sequence=7, issued=at(NOW))
    file = StatementFile("audit-heads/7.json", sign(WORKER, payload(head, "a" * 64)))
    found = verify(file, trust(), placed=False)
    assert isinstance(found, Verified)
    assert (found.kind, found.sha256, found.predicate) == (StatementType.AUDIT_HEAD, "a" * 64, head)


@pytest.mark.rule("statement-misplaced")
def test_a_statement_of_no_place_does_not_count_below_approvals() -> None:
    head = AuditHead(geography=GEOGRAPHY, stage=Stage.TEST, sequence=7, issued=at(NOW))
    found = verify(StatementFile("approvals/a/b/c.json", sign(WORKER, payload(head, "a" * 64))), trust())
    assert isinstance(found, Rejected)
    assert found.reason.code is Code.STATEMENT_MISPLACED


@pytest.mark.rule("statement-malformed")
def test_a_reason_shows_nothing_of_a_path_that_a_terminal_or_a_page_would_obey() -> None:
    found = verify(StatementFile("approvals/a/b/\x1b[31m<b>|`x`.json", b""), trust())
    assert isinstance(found, Rejected)
    assert str(found.reason).startswith("approvals/a/b/??31m?b???x?.json: expected a DSSE envelope")


@pytest.mark.parametrize(
    "reason",
    [
        "see https://evil.example",
        "see //evil.example",
        "www.evil.example",
        "a\nb",
        "`a`",
        "<b>",
        "a|b",
        "\x1b[31m",
        "",
        "@all",
    ],
)
def test_a_persons_reason_has_no_markup_and_no_address(reason: str) -> None:
    with pytest.raises(ValidationError):
        Revoked(connection=PRODUCTION, reason=reason, at=at(NOW))


@pytest.mark.parametrize("reason", ["Lost laptop (ticket 12/3)", "Verlust eines Geräts; siehe Akte", "鍵の紛失"])
def test_a_persons_reason_is_in_their_language(reason: str) -> None:
    assert Revoked(connection=PRODUCTION, reason=reason, at=at(NOW)).reason == reason


def test_a_time_ends_with_its_second() -> None:
    given = predicate_of(W.file(W.path(Approval, TEST)))
    assert isinstance(given, Approval)
    end = moment(given.expires)
    assert (given.ended(end - timedelta(seconds=1)), given.ended(end)) == (False, True)
    start = moment(given.issued)
    assert (given.begun(start - timedelta(seconds=1)), given.begun(start)) == (False, True)


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (Approval, {"expires": at(NOW - timedelta(days=1))}),
        (Approval, {"expires": at(NOW + timedelta(days=LONGEST_APPROVAL_DAYS + 1))}),
        (Approval, {"serial": 0}),
        (Approval, {"form": 2}),
        (Rehearsal, {"image": "latest"}),
    ],
)
def test_a_statement_that_means_nothing_is_not_made(model: type[Predicate], changes: dict[str, Any]) -> None:
    values = predicate_of(W.file(W.path(model, TEST))).model_dump()
    with pytest.raises(ValidationError):
        model.model_validate({**values, **changes})


def test_glass_is_broken_for_three_days_at_most() -> None:
    values: dict[str, Any] = {
        "form": 1,
        "organization": ORGANIZATION,
        "geography": GEOGRAPHY,
        "stage": Stage.PRODUCTION,
        "connection": PRODUCTION,
        "waives": ("rehearsal-missing",),
        "reason": "Outage",
        "issued_by": {"tenantId": OTHER_ID, "objectId": OTHER_ID},
        "issued": at(NOW),
    }
    assert BreakGlass.model_validate({**values, "expires": at(NOW + timedelta(hours=72))})
    with pytest.raises(ValidationError, match="expected at most 72 hours"):
        BreakGlass.model_validate({**values, "expires": at(NOW + timedelta(hours=72, seconds=1))})


def test_the_next_serial_follows_all_that_were_seen() -> None:
    given = predicate_of(W.file(W.path(Approval, TEST)))
    assert isinstance(given, Approval)
    assert (next_serial([]), next_serial([given]), next_serial([given], 5)) == (1, 2, 6)


# --- trust ----------------------------------------------------------------------------------------------------------


def trust() -> Trust:
    return Trust(W.test.promotion.trusted_keys, W.anchors)


@pytest.mark.rule("key-not-in-image")
def test_who_signs_takes_the_newest_key_that_is_not_retired() -> None:
    pins = W.test.promotion.trusted_keys
    mine = next(p for p in pins if p.key_id == key_id_of(public_key_of(PORTAL)))
    assert trust().signing_pin(StatementType.APPROVAL, GEOGRAPHY) == mine
    retired = [p.model_copy(update={"retired_at": at(NOW)}) if p is mine else p for p in pins]
    assert Trust(retired, W.anchors).signing_pin(StatementType.APPROVAL, GEOGRAPHY) is None
    assert (
        Trust([*pins, own_pin((StatementType.APPROVAL,))], W.anchors).signing_pin(StatementType.APPROVAL, GEOGRAPHY)
        == mine
    )


def test_a_key_that_is_retired_still_vouches_for_what_it_signed_before() -> None:
    retired = [p.model_copy(update={"retired_at": at(NOW)}) for p in W.test.promotion.trusted_keys]
    file = W.file(W.path(Approval, TEST))
    assert isinstance(verify(file, Trust(retired, W.anchors)), Verified)


ANCHOR = W.anchors.keys[0].model_dump(mode="json", by_alias=True)
RSA = rsa.generate_private_key(65537, 2048).public_key()
P384 = ec.derive_private_key(7, ec.SECP384R1()).public_key()


def anchored(key: Any) -> dict[str, Any]:
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {**ANCHOR, "keyId": key_id_of(spki), "publicKey": base64.b64encode(spki).decode()}


@pytest.mark.parametrize(
    "anchor",
    [
        {**ANCHOR, "keyId": "0" * 64},
        {**ANCHOR, "publicKey": ANCHOR["publicKey"][:-8]},
        {**ANCHOR, "publicKey": "no key"},
        {**ANCHOR, "statementTypes": []},
        {**ANCHOR, "geography": "mars"},
        {**ANCHOR, "unknown": 1},
        anchored(RSA),
        anchored(P384),
    ],
)
def test_an_anchor_that_is_no_key_of_ours_makes_the_file_invalid(anchor: dict[str, Any]) -> None:
    with pytest.raises(AnchorsInvalid):
        read_anchors(canonical({"version": 1, "keys": [anchor]}))


def test_a_key_of_ed25519_signs_too() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    anchors = read_anchors(canonical({"version": 1, "keys": [anchored(key.public_key())]}))
    pin = own_pin((StatementType.APPROVAL,)).model_copy(update={"key_id": anchors.keys[0].key_id})
    file = W.file(W.path(Approval, TEST))
    body = payload_of(file)
    content = signed(body, pin.key_id, key.sign(unsigned(body).pae()))
    assert isinstance(verify(StatementFile(file.path, content), Trust([pin], anchors)), Verified)


def test_the_anchors_of_the_emulated_cloud_are_read_nowhere_else() -> None:
    azure = read_anchors((ROOT / ANCHOR_FILES[Cloud.AZURE]).read_bytes())
    assert not {a.key_id for a in azure.keys} & {a.key_id for a in W.anchors.keys}


# --- the list that is held ------------------------------------------------------------------------------------------


def listed(version: int = 2, **changes: Any) -> Verified:
    predicate = revocations(GEOGRAPHY, Stage.TEST, NOW, version=version, **changes)
    found = verify(statement_file(OPERATOR, predicate), trust())
    assert isinstance(found, Verified)
    return found


def held(version: int = 2, **changes: Any) -> Held:
    found = listed(version, **changes).predicate
    assert isinstance(found, Revocations)
    return Held(found)


ENDED = at(NOW)

LISTS: list[tuple[str, Verified, Held | None, Code | None]] = [
    ("the first", listed(), None, None),
    ("a newer one", listed(3), held(2), None),
    ("the same again", listed(2), held(2), None),
    ("the same again, expired", listed(2, expires=ENDED), held(2, expires=ENDED), None),
    ("an older one", listed(1), held(2), Code.REVOCATIONS_OLDER),
    ("another of the same version", listed(2, expires=at(NOW + timedelta(days=9))), held(2), Code.REVOCATIONS_OLDER),
    ("the first, expired", listed(expires=ENDED), None, Code.REVOCATIONS_STALE),
    ("a newer one, expired", listed(3, expires=ENDED), held(2), Code.REVOCATIONS_STALE),
    ("one of tomorrow", listed(issued=at(NOW + timedelta(days=1))), None, Code.REVOCATIONS_NOT_YET),
]


@pytest.mark.parametrize(
    ("found", "before", "code"),
    [pytest.param(*row[1:], id=row[0], marks=pytest.mark.rule(row[3]) if row[3] else ()) for row in LISTS],
)
def test_a_list_replaces_the_one_that_is_held(found: Verified, before: Held | None, code: Code | None) -> None:
    accepted_ = accept(found, before, GEOGRAPHY, Stage.TEST, NOW)
    assert (accepted_.code if isinstance(accepted_, Reason) else None) == code
    if isinstance(accepted_, Held):
        assert accepted_.revocations == found.predicate


@pytest.mark.rule("revocations-elsewhere")
@pytest.mark.parametrize("where", [(ELSEWHERE, Stage.TEST), (GEOGRAPHY, Stage.PRODUCTION)])
def test_a_list_of_another_geography_or_stage_is_not_held(where: tuple[GeographyName, Stage]) -> None:
    found = accept(listed(), None, *where, NOW)
    assert isinstance(found, Reason)
    assert found.code is Code.REVOCATIONS_ELSEWHERE


@pytest.mark.rule("statement-type")
def test_an_approval_is_no_list() -> None:
    found = verify(W.file(W.path(Approval, TEST)), trust())
    assert isinstance(found, Verified)
    refused = accept(found, None, GEOGRAPHY, Stage.TEST, NOW)
    assert isinstance(refused, Reason)
    assert refused.code is Code.STATEMENT_TYPE


def test_who_goes_by_files_holds_an_expired_list() -> None:
    assert isinstance(accept(listed(expires=ENDED), None, GEOGRAPHY, Stage.TEST, NOW, expired=True), Held)
    assert held(expires=ENDED).is_stale(NOW)
    assert not held().is_stale(NOW)


# --- what is promoted -----------------------------------------------------------------------------------------------


def test_what_is_promoted_reads_as_it_was_written_a_line_a_connection() -> None:
    found = W.served().promoted
    assert read_promoted(found.text().encode()) == found
    assert len(found.text().splitlines()) == len(found.connections) + 2
    assert read_promoted(Promoted().text().encode()) == Promoted() == read_promoted(None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}x",
        b'{"version":2,"connections":{}}',
        b'{"connections":{"a":{}}}',
        b'{"connections":{},"connections":{}}',
    ],
)
def test_a_file_of_what_is_promoted_that_cannot_be_read_is_an_error(data: bytes) -> None:
    with pytest.raises(PromotedInvalid):
        read_promoted(data)


def test_what_concerns_a_geography_is_its_organisations_and_its_list() -> None:
    mine = replace(W.approvals, promoted=W.served().promoted).of_geography(
        Stage.PRODUCTION, ELSEWHERE, [organization_of(W.test, "rheinland")]
    )
    assert [s.path for s in mine.statements if "rheinland" not in s.path] == [
        "approvals/revocations/emea-production.json"
    ]
    assert list(mine.promoted.connections) == ["rheinland-production"]


def test_of_a_test_connection_production_is_told_its_rehearsals_alone() -> None:
    """What approved it decides in the test stage: production rests on its own approval, which names it."""
    production = [o for g in W.production.geographies for o in W.production.served_in(g)]
    (mine,) = [o for o in production if o.id == "rheinland"]
    told = [s.path.split("/")[2:] for s in W.approvals.of_geography(Stage.PRODUCTION, ELSEWHERE, [mine]).statements]
    names = {connection: name.partition("-")[0] for connection, *rest in told for name in rest}
    assert names == {"rheinland-test": "rehearsal", "rheinland-production": "approval"}
    assert any(s.path.startswith("approvals/rheinland/rheinland-test/approval-") for s in W.approvals.statements)
