"""The organisations of this geography, each with the connections of both stages: what the portal is about.

Owns looking them up by id and by person. A test stack's document carries the served (test) connections and the proposed
(production) ones apart; here they are one organisation again.
"""

from dataclasses import dataclass
from enum import StrEnum

from runtime.configuration import Served
from runtime.identity.links import Account
from runtime.promotion.standing import with_both_stages
from schemas.configuration_document import ConfigurationDocument
from schemas.stack_config import EhrConnection, Organization, Person
from schemas.vocabulary import Stage


class Role(StrEnum):
    """What a person is in an organisation."""

    ADMINISTRATOR = "administrator"
    APPROVER = "approver"


@dataclass(frozen=True)
class Catalogue:
    """Organisations with all their connections."""

    organizations: tuple[Organization, ...]

    @classmethod
    def of(cls, document: ConfigurationDocument) -> "Catalogue":
        return cls(with_both_stages(document))

    @property
    def tenants(self) -> frozenset[str]:
        return frozenset(o.tenant_id for o in self.organizations)

    def organization(self, organization_id: str) -> Organization | None:
        return next((o for o in self.organizations if o.id == organization_id), None)

    def connection(self, connection_id: str) -> Served | None:
        found = (Served(o, c) for o in self.organizations for c in o.connections)
        return next((s for s in found if s.connection.id == connection_id), None)

    def of_account(self, account: Account) -> tuple[Organization, ...]:
        """The organisations of the person's own tenant in which they have a role."""
        return tuple(o for o in self.organizations if roles_of(account, o))


def roles_of(account: Account, organization: Organization) -> frozenset[Role]:
    """A person's roles in an organisation: none in another tenant than their own."""
    if organization.tenant_id != account.tenant_id:
        return frozenset()
    roles: set[Role] = set()
    if any(is_person(account, a) for a in organization.administrators):
        roles.add(Role.ADMINISTRATOR)
    if any(is_person(account, c.approver) for c in organization.connections):
        roles.add(Role.APPROVER)
    return frozenset(roles)


def is_person(account: Account, person: Person) -> bool:
    """By tenant and object id; a display name decides nothing."""
    return (account.tenant_id, account.object_id) == (person.tenant_id, person.object_id)


def of_stage(organization: Organization, stage: Stage) -> tuple[EhrConnection, ...]:
    return tuple(c for c in organization.connections if c.stage is stage)
