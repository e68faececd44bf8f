"""The identities by which a geography's processes are known: one for each role, none shared.

Owns the user-assigned identities and the database role that each logs in as. What an identity may do is in
`access.py`; where it may be used is in `runtime_app.py` (init's in init containers only).
"""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import managedidentity

from components.placement import Placement
from schemas.vocabulary import RuntimeRole

DATABASE_ROLES = {role: f"connector_{role}" for role in RuntimeRole}


@dataclass(frozen=True)
class Identity:
    """One identity: ARM id, what tokens say of it, and its role in the database."""

    role: RuntimeRole
    id: pulumi.Output[str]
    client_id: pulumi.Output[str]
    principal_id: pulumi.Output[str]

    @property
    def database_role(self) -> str:
        return DATABASE_ROLES[self.role]


@dataclass(frozen=True)
class IdentitiesArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]


class Identities(pulumi.ComponentResource):
    def __init__(self, name: str, args: IdentitiesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:identity:Identities", name, None, opts)
        self._name, self._args = name, args
        self.init = self._identity(RuntimeRole.INIT)
        self.application = self._identity(RuntimeRole.APPLICATION)
        self.worker = self._identity(RuntimeRole.WORKER)
        self.portal = self._identity(RuntimeRole.PORTAL) if args.placement.has_portal else None
        self.register_outputs({})

    @property
    def serving(self) -> tuple[Identity, ...]:
        """Those of main containers, each with a role of its own in the database."""
        return tuple(i for i in (self.application, self.worker, self.portal) if i is not None)

    def _identity(self, role: RuntimeRole) -> Identity:
        identity = managedidentity.UserAssignedIdentity(
            f"{self._name}-{role}",
            resource_group_name=self._args.resource_group_name,
            resource_name_=self._args.placement.identity(role),
            location=self._args.placement.location,
            tags=self._args.placement.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return Identity(role, identity.id, identity.client_id, identity.principal_id)
