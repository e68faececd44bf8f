"""The worker's part in the audit chain: rows into the chain each second, its signed head to storage each minute.

Owns the order (a head is anchored first and recorded in the database after, so that a killed worker finds it there),
and the comparison of the chain with the newest head that this worker knows of. The chain itself is the database's
(`migrations/`), its bytes are in `schemas/audit_chain.py`, and what it proves stands in `docs/audit.md`.
"""

import asyncio
from dataclasses import dataclass, field

from runtime.bootstrap import Services
from runtime.database import Connection
from runtime.errors import ConnectorError
from runtime.logs import log
from runtime.promotion.signing import sign
from schemas.audit_chain import Finding, Head, head_name, read_head
from schemas.promotion.envelope import StatementFile
from schemas.promotion.statement import AuditHead, at, payload
from schemas.vocabulary import StatementType

CONTAINER = "audit-heads"
BATCH = 1000
"""Rows a transaction: how long the lock is held when a worker comes back after a while."""

FINISH_SECONDS = 5.0


@dataclass
class AuditHeads:
    """One worker's. `_newest` is the newest head that it anchored or found anchored, with which the chain agreed."""

    services: Services
    _newest: Head | None = field(default=None)

    async def chain(self) -> int:
        """Put the rows that are committed into the chain; how many. Raises `DatabaseUnavailable`."""
        chained = 0
        while True:
            async with self.services.database.transaction() as connection:
                cursor = await connection.execute("SELECT connector.chain_audit(%s)", (BATCH,))
                row = await cursor.fetchone()
            count = int(row[0]) if row else 0
            chained += count
            if count < BATCH:
                return chained

    async def anchor(self) -> Head | None:
        """Anchor the chain's head, unless it is; the head. Raises `Unavailable`, `SignatureUseless`."""
        async with self.services.database.connection() as connection:
            cursor = await connection.execute("SELECT sequence, row_hash, anchored FROM connector.audit_end()")
            row = await cursor.fetchone()
        if row is None or row[0] is None:
            return None
        sequence, row_hash, anchored = int(row[0]), bytes(row[1]).hex(), row[2]
        agrees = await self._agrees(anchored)
        if anchored is not None and sequence <= anchored:
            return None
        head = await self._store(sequence, row_hash)
        if head is not None:
            async with self.services.database.transaction() as connection:
                await connection.execute(
                    "SELECT connector.record_audit_head(%s, %s)", (head.sequence, bytes.fromhex(head.row_hash))
                )
            if agrees:
                self._newest = head
        return head

    async def chain_and_anchor(self) -> Head | None:
        """As of now. Raises like both."""
        await self.chain()
        return await self.anchor()

    async def finish(self) -> None:
        """What can still be chained and anchored before the process ends."""
        try:
            async with asyncio.timeout(FINISH_SECONDS):
                await self.chain_and_anchor()
        except (ConnectorError, TimeoutError) as e:
            log.warning("audit-not-anchored", error=type(e).__name__)

    async def _store(self, sequence: int, row_hash: str) -> Head | None:
        services, geography, stage = self.services, self.services.settings.geography, self.services.settings.stage
        pin = services.trust.signing_pin(StatementType.AUDIT_HEAD, geography)
        if pin is None:
            log.error("audit-head-without-key", sequence=sequence)
            return None
        head = AuditHead(geography=geography, stage=stage, sequence=sequence, issued=at(services.clock()))
        content = await sign(services.vault, pin, services.trust, payload(head, row_hash))
        await services.storage.write_once(CONTAINER, head_name(geography, stage, sequence), content)
        anchored = await self._read(sequence)  # ours, or that of a worker which was killed or is as quick
        if isinstance(anchored, Finding) or anchored.row_hash != row_hash:
            log.error("audit-head-contradicted", sequence=sequence)
            return None
        return anchored

    async def _read(self, sequence: int) -> Head | Finding:
        geography, stage = self.services.settings.geography, self.services.settings.stage
        name = head_name(geography, stage, sequence)
        content = await self.services.storage.read(CONTAINER, name) or b""
        return read_head(StatementFile(name, content), self.services.trust, geography, stage)

    async def _agrees(self, anchored: int | None) -> bool:
        """Whether the row of the newest known head has the hash that was anchored; where not, each minute says so.

        New heads are anchored all the same, or whoever rewrites a chain would free what comes after of any proof.
        """
        if self._newest is None:
            if anchored is None:
                return True
            found = await self._read(anchored)
            if isinstance(found, Finding):
                log.error("audit-head-missing", sequence=anchored)
                return True
            self._newest = found
        async with self.services.database.connection() as connection:
            row_hash = await _hash_of(connection, self._newest.sequence)
        if row_hash != self._newest.row_hash:
            log.error("audit-chain-rewritten", sequence=self._newest.sequence)
            return False
        return True


async def _hash_of(connection: Connection, sequence: int) -> str | None:
    row = await (await connection.execute("SELECT connector.audit_hash(%s)", (sequence,))).fetchone()
    return None if row is None or row[0] is None else bytes(row[0]).hex()
