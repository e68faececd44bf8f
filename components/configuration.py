"""The geography's configuration document, as secrets of its vault, written through Resource Manager.

Owns the delivery: one `vaults/secrets` for each chunk, by the management plane alone, one after the other (Key Vault
refuses parallel writes to one vault with `ConflictError`). A changed document gets secrets of its own, so a revision
that still runs keeps reading the one that it was started with.

Secrets stay in the vault when Pulumi lets go of them: Resource Manager cannot delete one, and the provider would call
the vault's data plane, which the machine that runs `pulumi` does not reach. Nor does the provider create what exists
already. So the first chunk's name is left to the provider's autonaming, which makes it unique, and the others follow
from it: going back to an earlier document writes it again.
"""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import keyvault

from components.placement import Placement
from schemas.configuration_document import Chunks, chunk_names

CONTENT_TYPE = "application/x-xz;base64"


@dataclass(frozen=True)
class ConfigurationArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    vault_name: pulumi.Input[str]
    chunks: Chunks


class Configuration(pulumi.ComponentResource):
    """Whoever reads the document depends on `secrets`; `first` is the name of the first chunk's secret."""

    def __init__(self, name: str, args: ConfigurationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:configuration:Configuration", name, None, opts)
        self._name, self._args = name, args
        values = args.chunks.values
        head = self._secret(0, values[0], secret_name=None, after=None)
        self.first: pulumi.Output[str] = head.name
        self.secrets: list[pulumi.Resource] = [head]
        for index in range(1, len(values)):
            secret_name = head.name.apply(lambda first, i=index: chunk_names(first, i + 1)[i])
            self.secrets.append(self._secret(index, values[index], secret_name, after=self.secrets[-1]))
        self.register_outputs({})

    def _secret(
        self, index: int, value: str, secret_name: pulumi.Output[str] | None, after: pulumi.Resource | None
    ) -> keyvault.Secret:
        digest = self._args.chunks.sha256[:16]
        return keyvault.Secret(
            f"{self._name}-{digest}" + (f"-{index:04d}" if index else ""),
            resource_group_name=self._args.resource_group_name,
            vault_name=self._args.vault_name,
            secret_name=secret_name,
            properties=keyvault.SecretPropertiesArgs(value=value, content_type=CONTENT_TYPE),
            tags=self._args.placement.tags,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True, depends_on=[after] if after else None),
        )
