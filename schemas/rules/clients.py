"""Rules of OAuth clients and their credentials."""

from collections.abc import Iterator
from typing import Any

from schemas.problems import Path
from schemas.rules.rule import Violation, connections_of, enum_text, geographies_of, organizations_of, rule
from schemas.stack_config import (
    BackendClient,
    ClientSecretBasic,
    EhrConnection,
    LaunchClient,
    Organization,
    PrivateKeyJwt,
    StackConfig,
)
from schemas.vocabulary import EhrKind, GeographyName, Stage


def _client_ids(path: Path, connection: EhrConnection) -> Iterator[tuple[Path, str]]:
    for role in ("provider", "patient", "backend", "approval"):
        client = getattr(connection.clients, role)
        if client is not None:
            yield (*path, "clients", role, "clientId"), client.client_id


@rule("client-id-in-both-stages")
def client_ids_of_test_and_production_differ(stack: StackConfig) -> Iterator[Violation]:
    """An EHR's test and production environments register the connector separately."""
    for path, organization in organizations_of(stack):
        of_test: set[str] = set()
        ids = [
            (connection.stage, *found)
            for index, connection in enumerate(organization.connections)
            for found in _client_ids((*path, "connections", index), connection)
        ]
        of_test = {client_id for stage, _, client_id in ids if stage == Stage.TEST}
        for stage, at, client_id in ids:
            if stage == Stage.PRODUCTION and any(client_id == other for other in of_test):
                yield Violation(at, "a client id that no test connection of the organisation has", enum_text(client_id))


@rule("client-id-repeated")
def clients_of_an_epic_connection_differ(stack: StackConfig) -> Iterator[Violation]:
    """Epic registers a client for one kind of user: a patient's token must never pass as a provider's."""
    for path, _, connection in connections_of(stack):
        if connection.ehr != EhrKind.EPIC:
            continue
        seen: set[str] = set()
        for at, client_id in _client_ids(path, connection):
            if client_id in seen:
                yield Violation(at, "a client id of its own for each kind of access", enum_text(client_id))
            seen.add(client_id)


def _credentials(stack: StackConfig) -> Iterator[tuple[Path, Organization, EhrConnection, str]]:
    for path, organization, connection in connections_of(stack):
        for role in ("provider", "patient", "backend"):
            match getattr(connection.clients, role):
                case LaunchClient(authentication=ClientSecretBasic(secret=str(name))):
                    field = "secret"
                case (
                    LaunchClient(authentication=PrivateKeyJwt(key=str(name)))
                    | BackendClient(authentication=PrivateKeyJwt(key=str(name)))
                ):
                    field = "key"
                case _:
                    continue
            yield (*path, "clients", role, "authentication", field), organization, connection, name


@rule("credential-shared")
def credentials_are_of_one_organization_and_stage(stack: StackConfig) -> Iterator[Violation]:
    first: dict[str, tuple[Any, Any]] = {}
    for path, organization, connection, name in _credentials(stack):
        owner = first.setdefault(name.lower(), (organization.id, connection.stage))
        if owner[0] != organization.id or owner[1] != connection.stage:
            expected = "the name of a secret that no other organisation and no other stage uses"
            yield Violation(path, expected, f"a name that {owner[0]} uses in {owner[1]}")


RESERVED_SECRETS = frozenset({"visit-key", "user-hash-key", "sealing-key", "notification-certificate"})
CONFIGURATION_SECRETS = tuple(f"{geography}-configuration-" for geography in GeographyName)
"""How the names of the configuration document's chunks begin (`components/configuration.py`)."""


@rule("credential-name-reserved")
def credentials_have_names_of_their_own(stack: StackConfig) -> Iterator[Violation]:
    for path, _, _, name in _credentials(stack):
        if _is_reserved(name):
            yield Violation(path, "a name that the connector does not use for its own secrets", "such a name")


@rule("certificate-name-taken")
def certificates_have_names_of_their_own(stack: StackConfig) -> Iterator[Violation]:
    """A certificate of a vault is a secret too; gateway and environment may read it."""
    credentials = {name.lower() for _, _, _, name in _credentials(stack)}
    for path, _, geography in geographies_of(stack):
        for key, name in (
            ("publicHost", geography.certificates.public_host),
            ("portalHost", geography.certificates.portal_host),
        ):
            if isinstance(name, str) and (_is_reserved(name) or name.lower() in credentials):
                expected = "a name that no credential and no secret of the connector's own has"
                yield Violation((*path, "certificates", key), expected, "such a name")


def _is_reserved(name: str) -> bool:
    return name.lower() in RESERVED_SECRETS or name.lower().startswith(CONFIGURATION_SECRETS)
