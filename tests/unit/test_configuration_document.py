"""The configuration document in chunks: what is packed is unpacked, a file of statements byte for byte, or refused."""

import base64
import hashlib
import lzma
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import configuration_document
from schemas.configuration_document import (
    CHUNK_CHARACTERS,
    CarriedFile,
    CarriedStatement,
    Chunks,
    ConfigurationDocument,
    ConfigurationDocumentInvalid,
    carried,
    pack,
    unpack,
)
from schemas.promotion.approvals import Approvals
from schemas.promotion.envelope import StatementFile, parts_of, signed
from schemas.vocabulary import GeographyName
from tests.support.accepted import accepted

W = accepted()
PATH = "approvals/lakeside/lakeside-production/approval-000001-approve.json"
FILES = W.approvals.statements
DOCUMENT = ConfigurationDocument.of(W.production, GeographyName.AMERICAS, W.approvals)
PACKED = pack(DOCUMENT)


def test_what_is_packed_is_unpacked() -> None:
    assert unpack(PACKED.values, PACKED.sha256) == DOCUMENT
    assert {s.path: s.content for s in DOCUMENT.statement_files}.items() <= {s.path: s.content for s in FILES}.items()
    assert DOCUMENT.statements
    assert {type(s) for s in DOCUMENT.statements} == {CarriedStatement}


def test_a_payload_is_carried_as_the_text_that_it_is() -> None:
    plain = lzma.decompress(base64.b64decode("".join(PACKED.values)))
    assert b'\\"predicateType\\":\\"urn:teams-ehr-connector:approval:1\\"' in plain


@given(st.text().map(str.encode), st.text("0123456789abcdef", min_size=64, max_size=64), st.binary(max_size=80))
def test_any_signed_payload_is_carried_in_parts_or_as_it_is(payload: bytes, key_id: str, signature: bytes) -> None:
    file = StatementFile(PATH, signed(payload, key_id, signature))
    assert carried(file).file == file
    assert isinstance(carried(file), CarriedStatement) == bool(payload and signature)


OTHER_FORMS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "no envelope": lambda _: b"{}\n",
    "no last line": lambda content: content[:-1],
    "spaces": lambda content: content.replace(b'","payloadType"', b'", "payloadType"'),
    "another payload type": lambda content: content.replace(b"vnd.in-toto", b"vnd.other"),
    "a key id in capitals": lambda content: content.replace(b'"keyid":"', b'"keyid":"A'),
    "two signatures": lambda content: content.replace(b"}]}", b'},{"keyid":"a","sig":"MEUC"}]}'),
    "base64 in another spelling": lambda content: content.replace(b'","payloadType"', b'=","payloadType"'),
    "a payload that is no text": lambda content: signed(b"\xff\xfe\xfd", "a" * 64, b"signature"),
    "a spare bit set": lambda _: signed(b"a", "a" * 64, b"s").replace(b'"YQ=="', b'"YR=="'),
}


@pytest.mark.parametrize("other", OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_a_file_of_any_other_form_is_carried_as_it_is(other: Callable[[bytes], bytes]) -> None:
    """Whoever decides must see it: it may count, or hide a refusal."""
    file = StatementFile(PATH, other(FILES[0].content))
    assert parts_of(file.content) is None
    assert isinstance(carried(file), CarriedFile)
    assert carried(file).file == file
    mine = DOCUMENT.model_copy(update={"statements": (carried(file),)})
    packed = pack(mine)
    assert unpack(packed.values, packed.sha256).statement_files == (file,)


def test_a_document_of_the_stack_carries_what_does_not_count() -> None:
    stray = StatementFile(PATH, b"{}")
    others = tuple(s for s in FILES if s.path != PATH)
    document = ConfigurationDocument.of(W.production, GeographyName.AMERICAS, Approvals((*others, stray)))
    assert stray in document.statement_files


def chunked(data: bytes) -> tuple[str, ...]:
    text = base64.b64encode(data).decode()
    return tuple(text[i : i + CHUNK_CHARACTERS] for i in range(0, len(text), CHUNK_CHARACTERS))


COMPRESSED = base64.b64decode("".join(PACKED.values))
REFUSED = {
    "no base64": (("*",), "not a compressed document"),
    "no xz": (chunked(b"some other text"), "not a compressed document"),
    "an older container": (chunked(lzma.compress(b"{}", format=lzma.FORMAT_ALONE)), "not a compressed document"),
    "nothing": ((), "incomplete"),
    "half of it": (chunked(COMPRESSED[: len(COMPRESSED) // 2]), "incomplete"),
    "something after it": (chunked(COMPRESSED + b"more"), "have a tail"),
    "another document": (chunked(lzma.compress(b"{}")), "expected the document with SHA-256"),
}


@pytest.mark.parametrize(("values", "said"), REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused(values: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigurationDocumentInvalid, match=said):
        unpack(values, PACKED.sha256)


def test_a_document_of_another_shape_is_refused_without_its_content() -> None:
    plain = b'{"name":"Rose Ward"}'
    other = Chunks(hashlib.sha256(plain).hexdigest(), chunked(lzma.compress(plain)))
    with pytest.raises(ConfigurationDocumentInvalid, match="does not fit its schema") as refused:
        unpack(other.values, other.sha256)
    assert "Rose" not in str(refused.value)


def test_no_more_is_decompressed_than_a_document_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration_document, "MAXIMUM_BYTES", 1000)
    with pytest.raises(ConfigurationDocumentInvalid, match="incomplete"):
        unpack(chunked(lzma.compress(bytes(1001))), PACKED.sha256)


def test_no_more_memory_is_taken_than_a_document_needs() -> None:
    greedy = lzma.compress(b"{}", preset=9)  # a dictionary of 64 MiB
    with pytest.raises(ConfigurationDocumentInvalid, match="not a compressed document"):
        unpack(chunked(greedy), PACKED.sha256)
