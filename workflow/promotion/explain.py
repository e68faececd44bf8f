"""`connector explain CONNECTION`: who approved what and when, on which evidence, and why it is served or not.

Owns how one connection is told, from every stack that has it: by the files, and by the lists of revocations that
are published but not merged, where they can be read.
"""

import asyncio
import json
from typing import Any

from rich.console import Console

from schemas.promotion.digest import connection_digest
from schemas.promotion.telling import reasons_of, word
from workflow.project import Project
from workflow.promotion.channel import Channel, by_channel
from workflow.promotion.check import decision_values
from workflow.promotion.history import Entry, history_of
from workflow.promotion.judging import Place, places_of

SHORT = 12


Seen = tuple[Place, Channel | None]


def explain(project: Project, connection: str, *, as_json: bool, console: Console) -> None:
    """Raises `UnknownConnection`."""
    places = asyncio.run(_seen(project, connection))
    if as_json:
        console.print_json(json.dumps({"connection": connection, "stacks": [_values(*seen) for seen in places]}))
        return
    for line in lines(places):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


async def _seen(project: Project, connection: str) -> list[Seen]:
    return [await by_channel(project, place) for place in places_of(project, connection)]


def digest_of(place: Place) -> str:
    """What an approval would be about now."""
    host = place.judged.stack.geographies[place.organization.geography].public_hosts.of(place.connection.stage)
    return connection_digest(place.organization, place.connection, host)


def _values(place: Place, channel: Channel | None) -> dict[str, Any]:
    return {
        "stack": place.judged.name,
        "stage": str(place.judged.stack.stage),
        "sha256": digest_of(place),
        "decision": decision_values(place.decision, place.judged.stack.stage) if place.decision else None,
        "channel": channel.values() if channel else None,
        "history": [entry.values() for entry in history_of(place)],
    }


def lines(places: list[Seen]) -> list[str]:
    """The whole story as lines of text."""
    first, last = places[0][0], places[-1][0]
    connection, organization = last.connection, last.organization
    approver = connection.approver
    told = [
        f"{connection.id} of {organization.id} ({organization.geography}, {connection.stage})",
        f"  FHIR base URL  {connection.fhir_base_url}",
        f"  approver       {approver.object_id} of {approver.tenant_id}",
    ]
    portal = first.judged.stack.geographies[first.organization.geography].portal_host
    if portal is not None:
        told.append(f"  portal         https://{portal}/connections/{connection.id}")
    for place, channel in places:
        sha256 = digest_of(place)
        name = f"stack {place.judged.name} ({place.judged.stack.stage})"
        told.append(f"{name}: {word(place.decision) if place.decision else 'proposed'}, digest {sha256}")
        for reason in reasons_of(place.decision) if place.decision else ():
            told += [f"  - {reason}", f"    {reason.advice}"]
        if channel is not None:
            told.append(channel.line())
    told.append("history:")
    entries = history_of(last)
    told += [line for entry in entries for line in _told(entry, digest_of(last))] or ["  nothing was signed about it"]
    return told


def _told(entry: Entry, now: str) -> list[str]:
    found = [f"  {entry.at or 'unverified':20}  {entry.what}"]
    if entry.sha256:
        other = f"of {entry.of}" if entry.of else "of another configuration"
        same = "as it is now" if entry.sha256 == now else other
        found.append(
            f"  {'':20}  digest {entry.sha256[:SHORT]}, {same}" + (f"; signed by {entry.key}" * bool(entry.key))
        )
    if evidence := entry.details.get("evidence"):
        seen = ", ".join(f"{name} {value}" for name, value in evidence.items() if name != "capabilitySha256")
        found.append(f"  {'':20}  seen at the FHIR base URL: {seen}")
    if entry.counts:
        found.append(f"  {'':20}  {entry.counts}")
    if entry.file:
        found.append(f"  {'':20}  {entry.file}")
    return found
