"""Who may do what on data planes: the least role for each identity, at the narrowest scope that there is.

Owns the role assignments. On the vault, init writes the geography's keys where they are absent and the others read; a
signing key and a container are scopes of their own:

    portal-signing       portal                      signs approvals
    worker-signing       worker                      signs rehearsals and audit heads
    revocation-signing   the group of the revokers   signs revocations and break-glass statements
    revocations          application, worker, portal read; the group of the revokers writes
    audit-heads          worker writes (once: the container is immutable); the group of the auditors reads
    the registry         application, worker, portal pull, for their init containers too
    certificates         the identity of gateway and environment reads exactly these secrets

Names are UUIDs (RFC 9562, version 5) of scope, principal and role, so an assignment is recognised whoever made it. A
changed principal replaces an assignment, and Azure refuses a second one of the same name: the old one goes first.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import authorization

from components import signing_keys
from components.identities import Identities, Identity
from components.placement import Placement
from components.signing_keys import SigningKeys
from components.storage import AUDIT_HEADS, REVOCATIONS, Storage

KEY_VAULT_SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
KEY_VAULT_SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
KEY_VAULT_CRYPTO_USER = "12338af0-0e69-4776-bea7-57ae8d297424"
ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
STORAGE_BLOB_DATA_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
STORAGE_BLOB_DATA_READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:teams-ehr-connector:role-assignment")


@dataclass(frozen=True)
class VaultAccessArgs:
    placement: Placement
    vault_id: pulumi.Input[str]
    identities: Identities


class VaultAccess(pulumi.ComponentResource):
    def __init__(self, name: str, args: VaultAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:vault:VaultAccess", name, None, opts)
        vault = _Scope(self, name, args.placement, args.vault_id, args.placement.unique("kv"))
        self.assignments: list[pulumi.Resource] = [
            vault.to_identity(args.identities.init, KEY_VAULT_SECRETS_OFFICER),
            *(vault.to_identity(identity, KEY_VAULT_SECRETS_USER) for identity in args.identities.serving),
        ]
        self.register_outputs({})


@dataclass(frozen=True)
class KeyAccessArgs:
    placement: Placement
    keys: SigningKeys
    identities: Identities
    revokers: str | None


class KeyAccess(pulumi.ComponentResource):
    def __init__(self, name: str, args: KeyAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:vault:KeyAccess", name, None, opts)

        def scope(key: str, key_id: pulumi.Input[str]) -> _Scope:
            return _Scope(self, name, args.placement, key_id, f"{args.placement.unique('kv')}/keys/{key}")

        worker = scope(signing_keys.WORKER, args.keys.worker)
        self.assignments: list[pulumi.Resource] = [worker.to_identity(args.identities.worker, KEY_VAULT_CRYPTO_USER)]
        if args.keys.portal is not None and args.identities.portal is not None:
            portal = scope(signing_keys.PORTAL, args.keys.portal)
            self.assignments.append(portal.to_identity(args.identities.portal, KEY_VAULT_CRYPTO_USER))
        if args.revokers is not None:
            revocation = scope(signing_keys.REVOCATION, args.keys.revocation)
            self.assignments.append(revocation.to_group("revokers", args.revokers, KEY_VAULT_CRYPTO_USER))
        self.register_outputs({})


@dataclass(frozen=True)
class RegistryAccessArgs:
    placement: Placement
    registry_id: pulumi.Input[str]
    identities: Identities


class RegistryAccess(pulumi.ComponentResource):
    def __init__(self, name: str, args: RegistryAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:registry:RegistryAccess", name, None, opts)
        registry = _Scope(self, name, args.placement, args.registry_id, args.placement.compact("cr"))
        self.assignments: list[pulumi.Resource] = [
            registry.to_identity(identity, ACR_PULL) for identity in args.identities.serving
        ]
        self.register_outputs({})


@dataclass(frozen=True)
class StorageAccessArgs:
    placement: Placement
    storage: Storage
    identities: Identities
    revokers: str | None
    auditors: str | None


class StorageAccess(pulumi.ComponentResource):
    def __init__(self, name: str, args: StorageAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:storage:StorageAccess", name, None, opts)

        def scope(container: str, container_id: pulumi.Input[str]) -> _Scope:
            path = f"{args.placement.compact('st')}/containers/{container}"
            return _Scope(self, f"{name}-{container}", args.placement, container_id, path)

        revocations = scope(REVOCATIONS, args.storage.revocations_id)
        heads = scope(AUDIT_HEADS, args.storage.audit_heads_id)
        self.assignments: list[pulumi.Resource] = [
            *(revocations.to_identity(identity, STORAGE_BLOB_DATA_READER) for identity in args.identities.serving),
            heads.to_identity(args.identities.worker, STORAGE_BLOB_DATA_CONTRIBUTOR),
        ]
        if args.revokers is not None:
            self.assignments.append(revocations.to_group("revokers", args.revokers, STORAGE_BLOB_DATA_CONTRIBUTOR))
        if args.auditors is not None:
            self.assignments.append(heads.to_group("auditors", args.auditors, STORAGE_BLOB_DATA_READER))
        self.register_outputs({})


@dataclass(frozen=True)
class CertificateAccessArgs:
    placement: Placement
    vault_id: pulumi.Input[str]
    certificates: Sequence[str]
    principal_id: pulumi.Input[str]
    """Of the identity by which gateway and environment read them."""


class CertificateAccess(pulumi.ComponentResource):
    def __init__(self, name: str, args: CertificateAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:vault:CertificateAccess", name, None, opts)

        def scope(certificate: str) -> _Scope:
            secret = pulumi.Output.concat(args.vault_id, "/secrets/", certificate)
            path = f"{args.placement.unique('kv')}/secrets/{certificate}"
            return _Scope(self, f"{name}-{certificate}", args.placement, secret, path)

        self.assignments: list[pulumi.Resource] = [
            scope(certificate).to_service("entry", args.principal_id, KEY_VAULT_SECRETS_USER)
            for certificate in args.certificates
        ]
        self.register_outputs({})


@dataclass(frozen=True)
class _Scope:
    """A resource at which roles are assigned; `path` stands for it in the names of assignments."""

    parent: pulumi.Resource
    name: str
    placement: Placement
    id: pulumi.Input[str]
    path: str

    def to_identity(self, identity: Identity, role: str) -> authorization.RoleAssignment:
        name = self.placement.identity(identity.role)
        kind = authorization.PrincipalType.SERVICE_PRINCIPAL
        return self._assign(identity.role, name, identity.principal_id, kind, role)

    def to_service(self, logical: str, principal_id: pulumi.Input[str], role: str) -> authorization.RoleAssignment:
        kind = authorization.PrincipalType.SERVICE_PRINCIPAL
        return self._assign(logical, self.placement.named(f"id-{logical}"), principal_id, kind, role)

    def to_group(self, logical: str, object_id: str, role: str) -> authorization.RoleAssignment:
        return self._assign(logical, logical, object_id, authorization.PrincipalType.GROUP, role)

    def _assign(
        self,
        logical: str,
        principal: str,
        principal_id: pulumi.Input[str],
        kind: authorization.PrincipalType,
        role: str,
    ) -> authorization.RoleAssignment:
        subscription = f"/subscriptions/{self.placement.subscription_id}"
        subject = f"{subscription}/{self.path}/{principal}/{role}"
        return authorization.RoleAssignment(
            f"{self.name}-{logical}",
            role_assignment_name=str(uuid.uuid5(NAMESPACE, subject)),
            scope=self.id,
            role_definition_id=f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}",
            principal_id=principal_id,
            principal_type=kind,
            opts=pulumi.ResourceOptions(parent=self.parent, delete_before_replace=True),
        )
