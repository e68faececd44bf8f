"""Blob storage and signatures by the vault's keys, over their wire."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar, cast

import httpx
import pytest

from runtime.errors import StorageUnavailable, VaultUnavailable
from runtime.http import HttpClients, open_clients
from runtime.managed_identity import ManagedIdentity
from runtime.promotion.signing import SignatureUseless, sign
from runtime.storage import Storage
from runtime.vault import Vault
from schemas.promotion.envelope import StatementFile, Verified, verify
from schemas.promotion.statement import payload, place_of
from schemas.promotion.trust import Trust
from schemas.promotion_config import TrustedKey
from schemas.vocabulary import GeographyName, Stage, StatementType
from tests.support.connector import VAULT_URL, FakeVault
from tests.support.postgres import PASSWORD
from tests.support.samples import load
from tests.support.statements import emulated_anchors, rehearsal
from tests.support.storage import STORAGE_URL, FakeStorage

Answer = Callable[[httpx.Request], httpx.Response]


class _Identity:
    """Remembers for whom tokens were asked."""

    def __init__(self) -> None:
        self.audiences: list[str] = []

    async def token(self, audience: str) -> str:
        self.audiences.append(audience)
        return PASSWORD


def http(answer: Answer) -> HttpClients:
    return open_clients(None, httpx.MockTransport(answer))


def storage(answer: Answer, identity: _Identity | None = None) -> Storage:
    return Storage.at(STORAGE_URL, http(answer), cast(ManagedIdentity, identity or _Identity()))


T = TypeVar("T")


def run(work: Awaitable[T]) -> T:
    async def wait() -> T:
        return await work

    return asyncio.run(wait())


# --- blobs --------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_and_what_is_not_there_is_none() -> None:
    identity = _Identity()
    blobs = storage(FakeStorage(PASSWORD), identity)
    run(blobs.replace("revocations", "list.json", b"1"))
    run(blobs.replace("revocations", "list.json", b"2"))
    assert run(blobs.read("revocations", "list.json")) == b"2"
    assert run(blobs.read("revocations", "other.json")) is None
    assert set(identity.audiences) == {"https://storage.azure.com"}


def test_what_is_written_once_stays_as_it_was() -> None:
    blobs = storage(FakeStorage(PASSWORD))
    assert run(blobs.write_once("audit-heads", "head-1.json", b"first"))
    assert not run(blobs.write_once("audit-heads", "head-1.json", b"second"))
    assert run(blobs.read("audit-heads", "head-1.json")) == b"first"


@pytest.mark.parametrize(
    ("status", "code"), [(409, "BlobAlreadyExists"), (409, "BlobImmutableDueToPolicy"), (412, "ConditionNotMet")]
)
def test_every_answer_that_says_it_is_there_already_is_understood(status: int, code: str) -> None:
    answer = httpx.Response(status, headers={"x-ms-error-code": code})
    assert not run(storage(lambda _: answer).write_once("audit-heads", "head-1.json", b""))


@pytest.mark.parametrize(
    ("status", "code"),
    [(409, "ContainerBeingDeleted"), (412, ""), (403, "AuthorizationFailure"), (404, "x"), (503, "")],
)
def test_no_other_answer_passes_for_written(status: int, code: str) -> None:
    answer = httpx.Response(status, headers={"x-ms-error-code": code})
    with pytest.raises(StorageUnavailable):
        run(storage(lambda _: answer).write_once("audit-heads", "head-1.json", b""))


def test_names_come_page_by_page_and_by_prefix() -> None:
    fake = FakeStorage(PASSWORD)
    fake.blobs["audit-heads"] = {f"head-{number}": b"" for number in range(5)} | {"a&b": b"", "zz": b""}
    blobs = storage(fake)
    assert run(blobs.names("audit-heads", "head-")) == [f"head-{number}" for number in range(5)]
    assert run(blobs.names("audit-heads")) == ["a&b", *(f"head-{number}" for number in range(5)), "zz"]
    assert run(blobs.names("audit-heads", "none")) == []


@pytest.mark.parametrize("body", [b"", b"{}", b"<EnumerationResults>", b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'])
def test_a_list_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(StorageUnavailable):
        run(storage(lambda _: httpx.Response(200, content=body)).names("audit-heads"))


@pytest.mark.parametrize("status", [301, 401, 403, 429, 500, 503])
def test_an_account_that_does_not_give_a_blob_is_unavailable(status: int) -> None:
    with pytest.raises(StorageUnavailable):
        run(storage(lambda _: httpx.Response(status, headers={"location": "/"})).read("revocations", "list.json"))


def test_a_blob_of_over_a_mebibyte_is_not_read() -> None:
    with pytest.raises(StorageUnavailable):
        run(storage(lambda _: httpx.Response(200, content=b"x" * 1024 * 1024 + b"x")).read("revocations", "list.json"))


@pytest.mark.parametrize("blob", ["a?restype=container", "a#b", "a%2e%2e", "https:x"])
def test_no_blob_is_anything_but_a_name_in_its_container(blob: str) -> None:
    asked: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(404)

    run(storage(answer).read("revocations", blob))
    (url,) = asked
    assert f"{url.scheme}://{url.host}/" == STORAGE_URL
    assert url.raw_path.startswith(b"/revocations/")
    assert url.query == b""


@pytest.mark.parametrize("blob", ["../audit-heads/head-1.json", "a/../b", "", "/x", "//other.invalid/x", "."])
def test_no_blob_leads_out_of_its_container(blob: str) -> None:
    with pytest.raises(ValueError, match="name of a blob"):
        run(storage(FakeStorage(PASSWORD)).read("revocations", blob))


# --- signatures ---------------------------------------------------------------------------------------------------


def trusted() -> Trust:
    stack = load("Pulumi.local.yaml").stack
    assert stack is not None
    return Trust(stack.promotion.trusted_keys, emulated_anchors())


def pin() -> TrustedKey:
    found = trusted().signing_pin(StatementType.REHEARSAL, GeographyName.AMERICAS)
    assert found is not None
    return found


def body() -> bytes:
    stack = load("Pulumi.local.yaml").stack
    assert stack is not None
    return payload(rehearsal(stack.organizations[0], "lakeside-test"), "0" * 64)


def vault(answer: Answer) -> Vault:
    return Vault.at(VAULT_URL, http(answer), cast(ManagedIdentity, _Identity()))


def test_what_the_vault_signed_is_a_statement_that_everybody_accepts() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return FakeVault()(request)

    content = run(sign(vault(answer), pin(), trusted(), body()))
    found = verify(StatementFile("", content), trusted(), placed=False)
    assert isinstance(found, Verified)
    assert place_of(found.predicate) is not None
    assert found.key_id == pin().key_id
    assert asked[0].url.path == f"/keys/worker-signing/{pin().version}/sign"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param(changes, code, marks=pytest.mark.rule(code))
        for changes, code in [
            ({"key_id": "f" * 64}, "key-unknown"),
            ({"name": "portal-signing"}, "signature-invalid"),
            ({"key_id": next(p for p in trusted()._pins if p != pin().key_id)}, "signature-invalid"),  # pyright: ignore[reportPrivateUsage]
        ]
    ],
)
def test_nobody_gets_a_statement_that_would_not_count(changes: dict[str, str], code: str) -> None:
    wrong = pin().model_copy(update=changes)
    with pytest.raises(SignatureUseless, match=code):
        run(sign(vault(FakeVault()), wrong, trusted(), body()))


@pytest.mark.rule("key-type")
def test_a_key_signs_no_type_of_statement_that_is_not_its_own() -> None:
    portal = trusted().signing_pin(StatementType.APPROVAL, GeographyName.AMERICAS)
    assert portal is not None
    with pytest.raises(SignatureUseless, match="key-type"):
        run(sign(vault(FakeVault()), portal, trusted(), body()))


@pytest.mark.rule("key-scope")
def test_a_key_signs_nothing_of_another_geography() -> None:
    elsewhere = trusted().signing_pin(StatementType.REHEARSAL, GeographyName.EMEA)
    assert elsewhere is not None
    there = FakeVault(geography=GeographyName.EMEA)
    with pytest.raises(SignatureUseless, match="key-scope"):
        run(sign(vault(there), elsewhere, trusted(), body()))


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(403),
        httpx.Response(404, json={"error": {"code": "KeyNotFound"}}),
        httpx.Response(503),
        httpx.Response(200, json={}),
        httpx.Response(200, json={"value": "AAAA"}),
        httpx.Response(200, json={"value": "*"}),
        httpx.Response(200, json={"value": 7}),
        httpx.Response(200, text="signed"),
    ],
)
def test_a_vault_that_gives_no_signature_is_unavailable(answer: httpx.Response) -> None:
    with pytest.raises(VaultUnavailable):
        run(vault(lambda _: answer).sign("worker-signing", "1", b"0" * 32))


@pytest.mark.rule("signature-invalid")
def test_stages_have_keys_of_their_own() -> None:
    production = replace(FakeVault(), stage=Stage.PRODUCTION)
    with pytest.raises(SignatureUseless, match="signature-invalid"):
        run(sign(vault(production), pin(), trusted(), body()))
