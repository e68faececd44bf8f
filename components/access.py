"""Who may do what on the vault's data plane: the least role for each identity, on the vault alone.

Owns the role assignments. Init writes the geography's keys where they are absent; application and worker read. Names
are UUIDs (RFC 9562, version 5) of vault, identity and role, so an assignment is recognised whoever made it. A changed
principal replaces an assignment, and Azure refuses a second one of the same name: the old one goes first.
"""

import uuid
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import authorization

from components.identities import Identities, Identity
from components.placement import Placement

KEY_VAULT_SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
KEY_VAULT_SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:teams-ehr-connector:role-assignment")


@dataclass(frozen=True)
class VaultAccessArgs:
    placement: Placement
    vault_id: pulumi.Input[str]
    identities: Identities


class VaultAccess(pulumi.ComponentResource):
    def __init__(self, name: str, args: VaultAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:vault:VaultAccess", name, None, opts)
        self._name, self._args = name, args
        self.assignments: list[pulumi.Resource] = [
            self._assign(args.identities.init, KEY_VAULT_SECRETS_OFFICER),
            self._assign(args.identities.application, KEY_VAULT_SECRETS_USER),
            self._assign(args.identities.worker, KEY_VAULT_SECRETS_USER),
        ]
        self.register_outputs({})

    def _assign(self, identity: Identity, role: str) -> authorization.RoleAssignment:
        placement = self._args.placement
        subscription = f"/subscriptions/{placement.subscription_id}"
        subject = f"{subscription}/{placement.unique('kv')}/{placement.identity(identity.role)}/{role}"
        return authorization.RoleAssignment(
            f"{self._name}-{identity.role}",
            role_assignment_name=str(uuid.uuid5(NAMESPACE, subject)),
            scope=self._args.vault_id,
            role_definition_id=f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}",
            principal_id=identity.principal_id,
            principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
