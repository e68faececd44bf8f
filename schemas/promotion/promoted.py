"""What is promoted now (`approvals/promoted.json`): connection, digest, time and highest serial.

Written only by `connector promote`; checked against the base revision of a pull request.
"""

from typing import Annotated, Literal

from pydantic import Field, ValidationError

from schemas.config_model import ConfigModel
from schemas.promotion.canonical import NotStrictJson, canonical, read_json
from schemas.scalars import Identifier, Sha256, Timestamp

FILE = "approvals/promoted.json"


class PromotedConnection(ConfigModel):
    sha256: Sha256
    promoted_at: Timestamp
    serial: Annotated[int, Field(ge=1, le=2**31)]


class Promoted(ConfigModel):
    """By connection id."""

    version: Literal[1] = 1
    connections: dict[Identifier, PromotedConnection] = Field(default_factory=dict[str, PromotedConnection])

    def of(self, connection: str) -> PromotedConnection | None:
        return self.connections.get(connection)

    def with_connection(self, connection: str, promoted: PromotedConnection) -> "Promoted":
        return self.model_copy(update={"connections": {**self.connections, connection: promoted}})

    def text(self) -> str:
        """The file's content, one connection a line, so that a diff shows what is promoted."""
        lines = [
            f"  {canonical(name).decode()}: {canonical(c.model_dump(mode='json', by_alias=True)).decode()}"
            for name, c in sorted(self.connections.items())
        ]
        body = ",\n".join(lines)
        return '{"version": 1, "connections": {' + (f"\n{body}\n" if lines else "") + "}}\n"


class PromotedInvalid(Exception):
    """`approvals/promoted.json` cannot be read."""


def read_promoted(data: bytes | None) -> Promoted:
    """Of the file's bytes; nothing is promoted where there is no file. Raises `PromotedInvalid`."""
    if data is None:
        return Promoted()
    try:
        return Promoted.model_validate(read_json(data), by_alias=True, by_name=False)
    except (NotStrictJson, ValidationError) as e:
        raise PromotedInvalid(f"{FILE} does not fit its schema: {e}") from None
