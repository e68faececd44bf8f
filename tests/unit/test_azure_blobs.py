"""The blob data plane on the wire: who reads and writes, conditions, lists, and what is written once."""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from starlette.testclient import TestClient

from emulators.azure.blob_data import BlobData
from emulators.azure.blobs import Account, BlobService
from emulators.azure.store import Contents
from emulators.azure.tokens import STORAGE, VAULT, Issuer, Principal

TENANT = "1a1a1a1a-0000-4000-8000-000000000000"
WRITER = Principal("7a7a7a7a-0000-4000-8000-000000000001", "7b7b7b7b-0000-4000-8000-000000000001", "/id-writer")
READER = Principal("7a7a7a7a-0000-4000-8000-000000000002", "7b7b7b7b-0000-4000-8000-000000000002", "/id-reader")
ACCOUNT_ID = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stone"
SERVICE_ID = f"{ACCOUNT_ID}/blobServices/default"
LIST, HEADS = "revocations", "audit-heads"
MAY = {
    (WRITER.object_id, "blobs/read"),
    (WRITER.object_id, "blobs/write"),
    (WRITER.object_id, "blobs/delete"),
    (READER.object_id, "blobs/read"),
}


def arm(arm_id: str, **properties: Any) -> dict[str, Any]:
    return {"id": arm_id, "name": arm_id.rsplit("/", 1)[1], "type": "-", "properties": properties}


@pytest.fixture
def contents() -> Contents:
    found = Contents()
    for container in (LIST, HEADS):
        found.put(arm(f"{SERVICE_ID}/containers/{container}"))
    policy = f"{SERVICE_ID}/containers/{HEADS}/immutabilityPolicies/default"
    found.put(arm(policy, immutabilityPeriodSinceCreationInDays=30))
    found.put(arm(SERVICE_ID, isVersioningEnabled=True))
    return found


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path, TENANT, "https://127.0.0.1:1/issuer/v2.0")


class Blobs:
    """The service as somebody calls it."""

    def __init__(self, http: Any, issuer: Issuer) -> None:
        self.http, self.issuer = http, issuer

    def ask(
        self, method: str, path: str, who: Principal | None = WRITER, *, content: bytes | None = None, **headers: str
    ) -> Any:
        sent = {"x-ms-version": "2021-12-02"} | {k.replace("_", "-"): v for k, v in headers.items()}
        if who is not None:
            sent["authorization"] = f"Bearer {self.issuer.token(who, STORAGE).text}"
        if method == "PUT":
            sent.setdefault("x-ms-blob-type", "BlockBlob")
        return self.http.request(
            method, path, headers={k: v for k, v in sent.items() if v}, content=content, follow_redirects=False
        )

    def put(self, path: str, content: bytes, who: Principal | None = WRITER, **headers: str) -> Any:
        return self.ask("PUT", path, who, content=content, **headers)


@pytest.fixture
def blobs(issuer: Issuer, tmp_path: Path, contents: Contents) -> Blobs:
    account = Account(ACCOUNT_ID, "https://127.0.0.1:3", lambda: contents)
    service = BlobService(account, BlobData(tmp_path, "stone"), issuer, lambda who, scope, action: (who, action) in MAY)
    return Blobs(TestClient(service.app), issuer)


def code(answer: Any) -> tuple[int, str]:
    """Status and error code, the same in header and body."""
    if answer.content:
        assert ElementTree.fromstring(answer.text).findtext("Code") == answer.headers["x-ms-error-code"]
    return answer.status_code, answer.headers["x-ms-error-code"]


def test_what_was_put_is_got_with_its_etag_and_type(blobs: Blobs) -> None:
    made = blobs.put(f"/{LIST}/list.json", b"{}", content_type="application/json")
    assert made.status_code == 201
    got = blobs.ask("GET", f"/{LIST}/list.json", READER)
    assert (got.status_code, got.content, got.headers["content-type"]) == (200, b"{}", "application/json")
    assert got.headers["etag"] == made.headers["etag"]
    head = blobs.ask("HEAD", f"/{LIST}/list.json", READER)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "2")
    assert head.headers["x-ms-version"] == "2021-12-02"


def test_a_replaced_blob_has_another_etag_and_its_earlier_version_stays(blobs: Blobs) -> None:
    first = blobs.put(f"/{LIST}/list.json", b"1")
    second = blobs.put(f"/{LIST}/list.json", b"2")
    assert first.headers["etag"] != second.headers["etag"]
    assert blobs.ask("GET", f"/{LIST}/list.json").content == b"2"
    earlier = blobs.ask("GET", f"/{LIST}/list.json?versionid={first.headers['x-ms-version-id']}")
    assert earlier.content == b"1"


CONDITIONS: list[tuple[str, dict[str, str], int, str | None]] = [
    ("there", {"if_none_match": "*"}, 409, "BlobAlreadyExists"),
    ("absent", {"if_none_match": "*"}, 201, None),
    ("there", {"if_match": "ETAG"}, 201, None),
    ("there", {"if_match": '"0x8D0"'}, 412, "ConditionNotMet"),
    ("there", {"if_match": "*"}, 201, None),
    ("absent", {"if_match": "*"}, 412, "ConditionNotMet"),
    ("there", {"if_none_match": "ETAG"}, 412, "ConditionNotMet"),
    ("there", {}, 201, None),
]


@pytest.mark.parametrize(("name", "conditions", "status", "error"), CONDITIONS)
def test_a_write_happens_under_its_condition_alone(
    blobs: Blobs, name: str, conditions: dict[str, str], status: int, error: str | None
) -> None:
    etag = blobs.put(f"/{LIST}/there", b"first").headers["etag"]
    answer = blobs.put(
        f"/{LIST}/{name}", b"second", WRITER, **{k: v.replace("ETAG", etag) for k, v in conditions.items()}
    )
    assert (answer.status_code, answer.headers.get("x-ms-error-code")) == (status, error)
    expected = b"second" if status == 201 else b"first"
    assert name == "absent" or blobs.ask("GET", f"/{LIST}/there").content == expected


def test_a_blob_that_is_known_is_not_sent_again(blobs: Blobs) -> None:
    etag = blobs.put(f"/{LIST}/list.json", b"1").headers["etag"]
    assert blobs.ask("GET", f"/{LIST}/list.json", if_none_match=etag).status_code == 304
    assert code(blobs.ask("GET", f"/{LIST}/list.json", if_match='"0x8D0"')) == (412, "ConditionNotMet")


REFUSED: list[tuple[str, str, dict[str, Any], tuple[int, str]]] = [
    ("GET", f"/{LIST}/absent", {}, (404, "BlobNotFound")),
    ("HEAD", f"/{LIST}/absent", {}, (404, "BlobNotFound")),
    ("DELETE", f"/{LIST}/absent", {}, (404, "BlobNotFound")),
    ("GET", "/nowhere/there", {}, (404, "ContainerNotFound")),
    ("GET", f"/{LIST}/there", {"who": None}, (401, "NoAuthenticationInformation")),
    ("GET", f"/{LIST}/there", {"who": None, "x_ms_version": ""}, (409, "PublicAccessNotPermitted")),
    (
        "GET",
        f"/{LIST}/there",
        {"who": None, "authorization": "SharedKey a:b"},
        (403, "KeyBasedAuthenticationNotPermitted"),
    ),
    ("GET", f"/{LIST}/there", {"who": None, "authorization": "Bearer x"}, (401, "InvalidAuthenticationInfo")),
    ("GET", f"/{LIST}/there", {"x_ms_version": ""}, (403, "AuthenticationFailed")),
    ("GET", f"/{LIST}/there", {"x_ms_version": "2016-05-31"}, (403, "AuthenticationFailed")),
    ("GET", f"/{LIST}/there", {"x_ms_version": "2999-01-01"}, (400, "InvalidHeaderValue")),
    ("PUT", f"/{LIST}/there", {"who": READER}, (403, "AuthorizationPermissionMismatch")),
    ("DELETE", f"/{LIST}/there", {"who": READER}, (403, "AuthorizationPermissionMismatch")),
    ("PUT", f"/{LIST}/there", {"x_ms_blob_type": ""}, (400, "MissingRequiredHeader")),
    ("PUT", f"/{LIST}/there", {"x_ms_blob_type": "PageBlob"}, (400, "InvalidHeaderValue")),
    ("PUT", f"/{LIST}/there", {"content_md5": "AAAA"}, (400, "Md5Mismatch")),
    ("PUT", f"/{LIST}/there?comp=block", {}, (405, "UnsupportedHttpVerb")),
    ("PUT", f"/{LIST}?restype=container", {}, (405, "UnsupportedHttpVerb")),
    ("GET", f"/{LIST}?restype=container&comp=list&delimiter=/", {}, (400, "InvalidQueryParameterValue")),
    ("GET", f"/{LIST}?restype=container&comp=list&maxresults=0", {}, (400, "InvalidQueryParameterValue")),
]


@pytest.mark.parametrize(("method", "path", "arguments", "expected"), REFUSED)
def test_a_request_is_refused_as_azure_refuses_it(
    blobs: Blobs, method: str, path: str, arguments: dict[str, Any], expected: tuple[int, str]
) -> None:
    blobs.put(f"/{LIST}/there", b"content")
    answer = blobs.ask(method, path, content=b"other" if method == "PUT" else None, **arguments)
    assert code(answer) == expected
    assert answer.headers.get("www-authenticate", "").startswith("Bearer authorization_uri=") is (expected[0] == 401)
    assert blobs.ask("GET", f"/{LIST}/there").content == b"content"


def test_a_token_for_another_audience_opens_nothing(blobs: Blobs, issuer: Issuer) -> None:
    bearer = f"Bearer {issuer.token(WRITER, VAULT).text}"
    answer = blobs.ask("GET", f"/{LIST}/there", None, authorization=bearer)
    assert code(answer) == (401, "InvalidAuthenticationInfo")


def test_blobs_are_listed_by_prefix_in_order_and_page_by_page(blobs: Blobs) -> None:
    for name in ("heads/2.json", "heads/1.json", "other & more.json"):
        blobs.put(f"/{LIST}/{name}", b"x")
    query = f"/{LIST}?restype=container&comp=list"
    assert listed(blobs.ask("GET", query, READER)) == (["heads/1.json", "heads/2.json", "other & more.json"], None)
    assert listed(blobs.ask("GET", f"{query}&prefix=heads/", READER))[0] == ["heads/1.json", "heads/2.json"]
    names, marker = listed(blobs.ask("GET", f"{query}&maxresults=1", READER))
    assert names == ["heads/1.json"]
    assert listed(blobs.ask("GET", f"{query}&maxresults=5&marker={marker}", READER))[0][0] == "heads/2.json"


def listed(answer: Any) -> tuple[list[str], str | None]:
    root = ElementTree.fromstring(answer.text)
    return [n.text or "" for n in root.iterfind("Blobs/Blob/Name")], root.findtext("NextMarker") or None


def test_a_deleted_blob_is_gone_from_lists(blobs: Blobs) -> None:
    made = blobs.put(f"/{LIST}/list.json", b"1")
    assert blobs.ask("DELETE", f"/{LIST}/list.json").status_code == 202
    assert code(blobs.ask("GET", f"/{LIST}/list.json")) == (404, "BlobNotFound")
    assert listed(blobs.ask("GET", f"/{LIST}?restype=container&comp=list"))[0] == []
    version = made.headers["x-ms-version-id"]
    assert blobs.ask("GET", f"/{LIST}/list.json?versionid={version}").content == b"1"


def test_in_an_immutable_container_blobs_are_written_once(blobs: Blobs) -> None:
    head = f"/{HEADS}/00000001.json"
    assert blobs.put(head, b"first", if_none_match="*").status_code == 201
    assert code(blobs.put(head, b"other")) == (409, "BlobImmutableDueToPolicy")
    assert code(blobs.put(head, b"other", if_none_match="*")) == (409, "BlobAlreadyExists")
    assert code(blobs.ask("DELETE", head)) == (409, "BlobImmutableDueToPolicy")
    assert blobs.ask("GET", head).content == b"first"
    assert blobs.put(f"/{HEADS}/00000002.json", b"second").status_code == 201


def test_after_the_time_of_the_policy_a_blob_can_be_deleted_and_still_not_replaced(
    blobs: Blobs, tmp_path: Path
) -> None:
    head = f"/{HEADS}/00000001.json"
    blobs.put(head, b"first")
    (file,) = (tmp_path / "azure" / "storage" / "stone" / HEADS).glob("*.json")
    document = json.loads(file.read_bytes())
    document["versions"][0]["created"] = (datetime.now(UTC) - timedelta(days=31)).isoformat()
    file.write_text(json.dumps(document))
    assert code(blobs.put(head, b"other")) == (409, "BlobImmutableDueToPolicy")
    assert blobs.ask("DELETE", head).status_code == 202


def test_content_is_checked_by_its_md5_and_kept_in_private_files(blobs: Blobs, tmp_path: Path) -> None:
    md5 = base64.b64encode(hashlib.md5(b"x", usedforsecurity=False).digest()).decode()
    assert blobs.put(f"/{LIST}/list.json", b"x", content_md5=md5).status_code == 201
    files = [f for f in (tmp_path / "azure" / "storage").rglob("*") if f.is_file()]
    assert files
    assert {f.stat().st_mode & 0o077 for f in files} == {0}
