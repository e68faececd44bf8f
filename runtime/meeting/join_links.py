"""The link by which a patient joins: the browser-only one where Graph gives it to apps, else the meeting's own.

Owns the decision and how long it is remembered per tenant: documentation disagrees on whether an app may ask, so it is
tried, and where it is refused it is not asked again for an hour.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from runtime.meeting.errors import GraphRefused, GraphUnavailable

REFUSED_SECONDS = 3600.0


@dataclass(frozen=True)
class Meeting:
    """`join_web_url` is https, as Graph gave it."""

    id: str
    join_web_url: str


class _Graph(Protocol):
    async def virtual_appointment_url(self, tenant: str, organizer: str, meeting_id: str) -> str: ...


class JoinLinks:
    def __init__(self, graph: _Graph, clock: Callable[[], float] = time.monotonic) -> None:
        self._graph = graph
        self._clock = clock
        self._refused_until: dict[str, float] = {}

    async def patient_url(self, tenant: str, organizer: str, meeting: Meeting) -> str:
        """An https URL; never fails, because the meeting's own link always works."""
        if self._clock() < self._refused_until.get(tenant, float("-inf")):
            return meeting.join_web_url
        try:
            return await self._graph.virtual_appointment_url(tenant, organizer, meeting.id)
        except GraphRefused:
            self._refused_until[tenant] = self._clock() + REFUSED_SECONDS
        except GraphUnavailable:
            pass
        return meeting.join_web_url
