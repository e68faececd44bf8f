"""What an EHR recorded of the write-backs that it got: the raw request log of the emulated EHR.

Owns the reading of `raw-requests.jsonl` for calls of SetExternalConnectionStatus. It is the EHR's word, not ours.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

SERVICE = "SetExternalConnectionStatus"


@dataclass(frozen=True)
class WriteBack:
    """One delivery that the EHR accepted, in its words. `time` is the EHR's."""

    time: str
    conference_id: str
    external_id_type: str
    external_id: str
    status: str


class EhrLog:
    """Reads on where it ended; begins at the log's present end."""

    def __init__(self, state: Path, organization: str) -> None:
        self.file = state / "ehr" / organization / "raw-requests.jsonl"
        self._read = self.file.stat().st_size if self.file.exists() else 0
        self._rest = b""
        self._found: list[tuple[str, WriteBack]] = []

    def write_backs(self, instance: str, csn: str) -> list[WriteBack]:
        """Those of one visit in one environment since this reader began, in the EHR's order."""
        self._read_on()
        return [w for path, w in self._found if path.startswith(f"/{instance}/") and w.conference_id == csn]

    async def until(self, instance: str, csn: str, wanted: set[tuple[str, str]], seconds: float) -> list[WriteBack]:
        """Wait until each wanted (external id type, status) came; answers what came, at the latest after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            came = self.write_backs(instance, csn)
            if wanted <= {(w.external_id_type, w.status) for w in came} or time.monotonic() > deadline:
                return came
            await asyncio.sleep(0.1)

    def _read_on(self) -> None:
        if not self.file.exists():
            return
        with self.file.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            if SERVICE.encode() in line:
                self._take(json.loads(line))

    def _take(self, record: dict[str, Any]) -> None:
        if record.get("status") != 200 or not record["path"].endswith(SERVICE):
            return
        given = {name: values[0] for name, values in parse_qs(record["query"] or record.get("body", "")).items()}
        found = WriteBack(
            time=record["time"],
            conference_id=given.get("ConferenceID", ""),
            external_id_type=given.get("ExternalIDType", ""),
            external_id=given.get("ExternalID", ""),
            status=given.get("ConnectionStatus", ""),
        )
        self._found.append((record["path"], found))
