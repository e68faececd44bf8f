"""The geography's storage account: the list of revocations, and the heads of the audit chain, outside the database.

Owns account, containers and the way to them. Reached only through a private endpoint, by identity: no shared key, no
signature in a URL, nothing public. Who may read or write is in `access.py`.

    revocations   one blob, replaced by each new list
    audit-heads   one blob for each head; what is written there can neither be changed nor deleted for years

Containers are Resource Manager's here, so no data plane is needed. The policy that makes `audit-heads` immutable is
made unlocked; locking it is the platform team's, once and for good. On Azure neither it nor its container is deleted
by Pulumi: the provider's DELETE of the policy lacks the ETag that Azure asks for, and a container that has a policy
must be empty. Both go with the account, which Azure deletes unless a policy is locked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import storage

from components.placement import Placement
from components.private_endpoint import PrivateEndpointArgs, private_endpoint
from components.private_zone import PrivateZone
from schemas.vocabulary import Cloud

REVOCATIONS = "revocations"
AUDIT_HEADS = "audit-heads"
IMMUTABLE_DAYS = {"test": 30, "production": 2192}
"""In production six years, as long as the HIPAA security rule asks that records are kept (45 CFR 164.316(b)(2)(i))."""
DELETED_DAYS = 30


@dataclass(frozen=True)
class StorageArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    zone: PrivateZone


class Storage(pulumi.ComponentResource):
    """Whoever reads or writes blobs depends on `reachable`; `url` ends with a slash."""

    def __init__(self, name: str, args: StorageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:storage:Storage", name, None, opts)
        self._name, self._args = name, args
        self._account = self._make_account()
        service = self._service()
        revocations = self._container(REVOCATIONS, args.placement.state(self, [service]))
        audit_heads = self._container(AUDIT_HEADS, self._written_once([revocations]))
        immutable = self._immutable(audit_heads)
        self.id: pulumi.Output[str] = self._account.id
        self.blobs_id: pulumi.Output[str] = service.id
        self.revocations_id: pulumi.Output[str] = revocations.id
        self.audit_heads_id: pulumi.Output[str] = audit_heads.id
        self.url: pulumi.Output[str] = self._account.primary_endpoints.apply(lambda endpoints: endpoints.blob)
        endpoint = PrivateEndpointArgs(
            args.placement, args.resource_group_name, args.subnet_id, args.zone, "storage", "blob", self._account.id
        )
        self.reachable: list[pulumi.Resource] = [*private_endpoint(self, name, endpoint), immutable]
        self.register_outputs({})

    def _make_account(self) -> storage.StorageAccount:
        placement = self._args.placement
        return storage.StorageAccount(
            f"{self._name}-account",
            resource_group_name=self._args.resource_group_name,
            account_name=placement.compact("st"),
            location=placement.location,
            kind=storage.Kind.STORAGE_V2,
            # Copies stay in the region: a paired region may lie in another geography.
            sku=storage.SkuArgs(name=placement.sizes.copies_of_storage),
            allow_blob_public_access=False,
            allow_cross_tenant_replication=False,
            allow_shared_key_access=False,
            default_to_o_auth_authentication=True,
            enable_https_traffic_only=True,
            minimum_tls_version=storage.MinimumTlsVersion.TLS1_2,
            public_network_access=storage.PublicNetworkAccess.DISABLED,
            network_rule_set=storage.NetworkRuleSetArgs(
                default_action=storage.DefaultAction.DENY, bypass=storage.Bypass.NONE
            ),
            tags=placement.tags,
            opts=placement.state(self),
        )

    def _service(self) -> storage.BlobServiceProperties:
        """Earlier lists of revocations stay as versions, so that what counted when can be told."""
        return storage.BlobServiceProperties(
            f"{self._name}-blobs",
            resource_group_name=self._args.resource_group_name,
            account_name=self._account.name,
            blob_services_name="default",
            is_versioning_enabled=True,
            delete_retention_policy=storage.DeleteRetentionPolicyArgs(enabled=True, days=DELETED_DAYS),
            container_delete_retention_policy=storage.DeleteRetentionPolicyArgs(enabled=True, days=DELETED_DAYS),
            opts=self._args.placement.state(self),
        )

    def _written_once(self, depends_on: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        placement = self._args.placement
        options = placement.let_go if placement.cloud is Cloud.AZURE else placement.state
        return options(self, depends_on)

    def _container(self, container: str, opts: pulumi.ResourceOptions) -> storage.BlobContainer:
        return storage.BlobContainer(
            f"{self._name}-{container}",
            resource_group_name=self._args.resource_group_name,
            account_name=self._account.name,
            container_name=container,
            public_access=storage.PublicAccess.NONE,
            opts=opts,
        )

    def _immutable(self, container: storage.BlobContainer) -> storage.BlobContainerImmutabilityPolicy:
        return storage.BlobContainerImmutabilityPolicy(
            f"{self._name}-immutable",
            resource_group_name=self._args.resource_group_name,
            account_name=self._account.name,
            container_name=container.name,
            immutability_policy_name="default",
            immutability_period_since_creation_in_days=IMMUTABLE_DAYS[self._args.placement.stage],
            allow_protected_append_writes=False,
            opts=self._written_once(),
        )
