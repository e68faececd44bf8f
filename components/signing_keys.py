"""The keys by which statements are signed: EC P-256 in the geography's vault, where they are made and stay.

Owns which keys a stage has and what each may do: sign and verify, nothing else. Who may sign with one is in
`access.py`; whose signatures count is in `promotion.trustedKeys` and the image's trust anchors, which name a version.

Resource Manager makes a key where there is none and never writes a second version; a rotation is a new version, made
inside the network and then pinned. Like secrets (`configuration.py`), keys stay in the vault when Pulumi lets go.
"""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import keyvault

from components.placement import Placement

PORTAL = "portal-signing"
WORKER = "worker-signing"
REVOCATION = "revocation-signing"


@dataclass(frozen=True)
class SigningKeysArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    vault_name: pulumi.Input[str]


class SigningKeys(pulumi.ComponentResource):
    """The keys' ARM ids: a role assignment at one of them is for that key alone."""

    def __init__(self, name: str, args: SigningKeysArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:vault:SigningKeys", name, None, opts)
        self._name, self._args = name, args
        self._last: keyvault.Key | None = None
        self.worker = self._key(WORKER)
        self.revocation = self._key(REVOCATION)
        self.portal = self._key(PORTAL) if args.placement.has_portal else None
        self.register_outputs({})

    def _key(self, key: str) -> pulumi.Output[str]:
        """One after the other: Key Vault refuses parallel writes to one vault with `ConflictError`."""
        made = keyvault.Key(
            f"{self._name}-{key.removesuffix('-signing')}",
            resource_group_name=self._args.resource_group_name,
            vault_name=self._args.vault_name,
            key_name=key,
            properties=keyvault.KeyPropertiesArgs(
                kty=keyvault.JsonWebKeyType.EC,
                curve_name=keyvault.JsonWebKeyCurveName.P_256,
                key_ops=[keyvault.JsonWebKeyOperation.SIGN, keyvault.JsonWebKeyOperation.VERIFY],
            ),
            tags=self._args.placement.tags,
            opts=self._args.placement.let_go(self, [self._last] if self._last else ()),
        )
        self._last = made
        return made.id
