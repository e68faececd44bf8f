"""Rules of EHR connections: ids, stages, FHIR base URLs, what each EHR kind needs."""

import re
from collections import defaultdict
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from schemas.problems import Path, Severity, shown
from schemas.rules.rule import Violation, connections_of, enum_text, repeated, rule
from schemas.stack_config import EhrConnection, Organization, StackConfig
from schemas.unknown import known, lacks
from schemas.vocabulary import EhrKind, Stage


@rule("connection-id-repeated")
def connection_ids_are_unique(stack: StackConfig) -> Iterator[Violation]:
    return repeated((((*p, "id"), c.id) for p, _, c in connections_of(stack)), "a connection id")


@rule("stage-mixed")
def production_has_production_connections_only(stack: StackConfig) -> Iterator[Violation]:
    if stack.stage == Stage.PRODUCTION:
        for path, _, connection in connections_of(stack):
            if connection.stage != Stage.PRODUCTION:
                yield Violation((*path, "stage"), '"production", as the stack\'s stage', enum_text(connection.stage))


@rule("fhir-url-not-shared")
def fhir_base_urls_are_unique_or_shared_on_both_sides(stack: StackConfig) -> Iterator[Violation]:
    users: dict[str, list[tuple[Path, Organization, EhrConnection]]] = defaultdict(list)
    for path, organization, connection in connections_of(stack):
        if known(connection.fhir_base_url) and known(connection.stage):
            users[_comparable(connection.fhir_base_url)].append((path, organization, connection))
    for same in users.values():
        for n, (path, organization, connection) in enumerate(same):
            for m, (_, other, others) in enumerate(same):
                if organization.id == other.id and (m >= n or connection.stage != others.stage):
                    continue
                if organization.id == other.id:
                    expected = f"a FHIR base URL that {others.id} of the same organisation has not"
                    yield Violation((*path, "fhirBaseUrl"), expected, shown(connection.fhir_base_url))
                elif organization.id != other.id and connection.stage != others.stage:
                    expected = f"a FHIR base URL that {other.id} has not in another stage"
                    yield Violation((*path, "fhirBaseUrl"), expected, shown(connection.fhir_base_url))
                elif organization.id != other.id and lacks(connection.shared_with, other.id):
                    expected = (
                        f"a FHIR base URL of its own, or {other.id} in sharedWith (and {organization.id} in theirs)"
                    )
                    yield Violation((*path, "fhirBaseUrl"), expected, shown(connection.fhir_base_url))


@rule("sharing-without-partner")
def sharing_names_an_organization_with_the_same_url(stack: StackConfig) -> Iterator[Violation]:
    for path, organization, connection in connections_of(stack):
        for index, partner in enumerate(connection.shared_with):
            at = (*path, "sharedWith", index)
            if partner == organization.id:
                yield Violation(at, "another organisation", "this one")
            elif not any(_shares(partner, connection, o, c) for _, o, c in connections_of(stack)):
                yield Violation(at, "an organisation with the same FHIR base URL in this stage", enum_text(partner))


def _shares(partner: str, connection: EhrConnection, other: Organization, others: EhrConnection) -> bool:
    return not (
        other.id != partner
        or others.stage != connection.stage
        or (
            known(others.fhir_base_url)
            and known(connection.fhir_base_url)
            and _comparable(others.fhir_base_url) != _comparable(connection.fhir_base_url)
        )
    )


def _comparable(url: str) -> str:
    """One spelling for uniqueness: without case, percent-encoding, https's own port, and the root's dot."""
    parts = urlsplit(url.lower())
    host = (parts.hostname or "").rstrip(".")
    port = "" if parts.port in (None, 443) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{unquote(parts.path).lower()}"


@rule("epic-url-unusual", Severity.WARNING)
def fhir_base_url_of_epic_ends_as_usual(stack: StackConfig) -> Iterator[Violation]:
    for path, _, connection in connections_of(stack):
        url = connection.fhir_base_url
        usual = not known(url) or re.search(r"/api/FHIR/(?:R4|DSTU2|STU3)$", url, re.IGNORECASE)
        if connection.ehr == EhrKind.EPIC and not usual:
            yield Violation((*path, "fhirBaseUrl"), "an end usual for Epic, such as /api/FHIR/R4", shown(url))


@rule("backend-client-missing")
def epic_has_a_backend_client(stack: StackConfig) -> Iterator[Violation]:
    for path, _, connection in connections_of(stack):
        if connection.ehr == EhrKind.EPIC and connection.clients.backend is None:
            yield Violation((*path, "clients", "backend"), "a backend client: Epic's write-backs need one", "nothing")


@rule("frame-origins-missing")
def epic_names_the_origins_that_frame(stack: StackConfig) -> Iterator[Violation]:
    for path, _, connection in connections_of(stack):
        if connection.ehr == EhrKind.EPIC and connection.frame_origins == ():
            expected = "at least one origin: Hyperspace shows the visit page in a frame"
            yield Violation((*path, "frameOrigins"), expected, "an empty list")


@rule("external-connection-status-unused")
def only_epic_has_an_external_connection_status(stack: StackConfig) -> Iterator[Violation]:
    for path, _, connection in connections_of(stack):
        if connection.ehr == EhrKind.SMART and connection.external_connection_status is not None:
            expected = "no such settings: write-backs to an EHR of kind smart are not supported"
            yield Violation((*path, "externalConnectionStatus"), expected, "a mapping")


@rule("context-keys-repeated")
def launch_context_keys_differ(stack: StackConfig) -> Iterator[Violation]:
    for path, _, connection in connections_of(stack):
        keys = connection.launch_context_keys
        if keys.department_id == keys.session_id:
            expected = "another parameter than sessionId"
            yield Violation((*path, "launchContextKeys", "departmentId"), expected, shown(str(keys.department_id)))
