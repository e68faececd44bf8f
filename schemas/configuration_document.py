"""The configuration document: one geography's organisations, named by digest, cut into chunks for the vault.

Owns its shape, its canonical bytes (RFC 8785), its digest (SHA-256 over those bytes) and the chunk format: the bytes
compressed as .xz, in base64, at most 24 KiB a chunk, because a Key Vault secret holds at most 25 KB. Chunks are written
one after the other, so they should be few: of a thousand organisations and their statements there are 30 (decision 25).
`components/` writes the chunks through Resource Manager, `runtime/` reads them by identity and verifies the digest.
"""

import base64
import binascii
import hashlib
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from schemas.config_model import ConfigModel
from schemas.promotion.approvals import Approvals
from schemas.promotion.canonical import canonical
from schemas.promotion.envelope import Parts, StatementFile, content_of, parts_of
from schemas.promotion.promoted import Promoted
from schemas.promotion_config import Promotion
from schemas.scalars import PublicHost
from schemas.stack_config import Organization, PublicHosts, StackConfig
from schemas.vocabulary import Cloud, GeographyName, Stage

CHUNK_CHARACTERS = 24 * 1024
MAXIMUM_BYTES = 64 * 1024 * 1024
COMPRESSION = 5
"""Preset of liblzma: 6, its default, takes half as long again for 2 % less."""

DECOMPRESSION_BYTES = 32 * 1024 * 1024
"""Of memory at most; preset 5 needs 9 MiB (xz(1), "DecMem")."""


class CarriedStatement(ConfigModel):
    """The file of a signed statement by its path in the project, in its parts, and verified wherever it is used.

    `payload` is the text itself, of which a compressor sees what many statements have in common, `signature` base64.
    """

    path: str
    payload: str
    key_id: str
    signature: str

    @property
    def file(self) -> StatementFile:
        return StatementFile(self.path, content_of(Parts(self.payload, self.key_id, self.signature)))


class CarriedFile(ConfigModel):
    """Any other file where statements stand, an envelope in another spelling too: whoever decides must see it."""

    path: str
    content: str

    @property
    def file(self) -> StatementFile:
        return StatementFile(self.path, self.content.encode())


def carried(file: StatementFile) -> CarriedStatement | CarriedFile:
    """A file as a document carries it; `file` gives the same bytes again."""
    parts = parts_of(file.content)
    if parts is None:
        return CarriedFile(path=file.path, content=file.content.decode())
    return CarriedStatement(path=file.path, payload=parts.payload, key_id=parts.key_id, signature=parts.signature)


class ConfigurationDocument(ConfigModel):
    """What one geography's runtime is told: its organisations, and the statements on which serving them rests.

    `proposals` are, in the test stage, the production connections for the portal; empty elsewhere.
    """

    version: Literal[3] = 3
    stage: Stage
    cloud: Cloud
    geography: GeographyName
    public_hosts: PublicHosts
    portal_host: PublicHost | None = None
    promotion: Promotion
    organizations: tuple[Organization, ...]
    proposals: tuple[Organization, ...] = ()
    statements: tuple[CarriedStatement | CarriedFile, ...] = ()
    promoted: Promoted = Promoted()

    @classmethod
    def of(
        cls, stack: StackConfig, geography: GeographyName, approvals: Approvals | None = None
    ) -> "ConfigurationDocument":
        """Of a stack and what is below `approvals/`, in the part that concerns the geography."""
        served, proposed = stack.served_in(geography), stack.proposed_in(geography)
        mine = (approvals or Approvals()).of_geography(stack.stage, geography, (*served, *proposed))
        config = stack.geographies[geography]
        return cls(
            stage=stack.stage,
            cloud=stack.cloud,
            geography=geography,
            public_hosts=config.public_hosts,
            portal_host=config.portal_host,
            promotion=stack.promotion,
            organizations=served,
            proposals=proposed,
            statements=tuple(map(carried, mine.statements)),
            promoted=mine.promoted,
        )

    @property
    def statement_files(self) -> tuple[StatementFile, ...]:
        return tuple(s.file for s in self.statements)


@dataclass(frozen=True)
class Chunks:
    """A document as the values of secrets, and the digest that names it."""

    sha256: str
    values: tuple[str, ...]


def chunk_names(first: str, count: int) -> tuple[str, ...]:
    """The secrets' names: the first chunk's, and those that follow from it."""
    return (first, *(f"{first}-{index:04d}" for index in range(1, count)))


def pack(document: ConfigurationDocument) -> Chunks:
    """Canonical bytes, digest and chunks of a document."""
    plain = canonical(document.model_dump(mode="json", by_alias=True, exclude_none=True))
    encoded = base64.b64encode(lzma.compress(plain, preset=COMPRESSION)).decode()
    values = tuple(encoded[i : i + CHUNK_CHARACTERS] for i in range(0, len(encoded), CHUNK_CHARACTERS))
    return Chunks(hashlib.sha256(plain).hexdigest(), values)


def unpack(values: Sequence[str], sha256: str) -> ConfigurationDocument:
    """The document, once its digest is the one expected. Raises `ConfigurationDocumentInvalid`."""
    decompressor = decompressing()
    try:
        plain = decompressor.decompress(base64.b64decode("".join(values), validate=True), MAXIMUM_BYTES)
    except (binascii.Error, lzma.LZMAError) as e:
        raise ConfigurationDocumentInvalid(f"the chunks are not a compressed document: {e}") from None
    if not decompressor.eof or decompressor.unused_data:
        raise ConfigurationDocumentInvalid("the chunks are incomplete, have a tail, or hold more than 64 MiB")
    actual = hashlib.sha256(plain).hexdigest()
    if actual != sha256:
        raise ConfigurationDocumentInvalid(f"expected the document with SHA-256 {sha256}, got {actual}")
    try:
        return ConfigurationDocument.model_validate_json(plain)
    except ValidationError as e:
        raise ConfigurationDocumentInvalid(f"the document does not fit its schema: {e.error_count()} errors") from None


def decompressing() -> lzma.LZMADecompressor:
    """Of the bytes of chunks, from the first on."""
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=DECOMPRESSION_BYTES)


class ConfigurationDocumentInvalid(Exception):
    """The chunks do not make the document that the Handover names."""
