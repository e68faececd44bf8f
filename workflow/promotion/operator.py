"""Who acts on a stack's data planes: an operator's tokens, and the vault and the containers of a geography.

Owns where these are and whose tokens open them. In Azure the operator is whoever azure-identity finds (a member of the
group `promotion.revokers`, on a machine that reaches the private endpoints); in the emulated cloud it is the deployer.
The emulated cloud's keys were brought to it and are known before it runs, so a first list can be signed without it.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from jwt.algorithms import ECAlgorithm

from emulators.azure.client import is_running, operator_token
from emulators.azure.deployer import DEPLOYER_OBJECT_ID
from emulators.azure.errors import SupervisorUnavailable
from emulators.azure.held import BROUGHT_KEYS
from emulators.azure.store import Store
from runtime.errors import IdentityUnavailable
from runtime.http import HttpClients, open_clients
from runtime.managed_identity import VAULT_AUDIENCE, ManagedIdentity
from runtime.promotion.signing import sign
from runtime.storage import Storage
from runtime.vault import Vault
from schemas.promotion.reading import anchors_of
from schemas.promotion.statement import Account
from schemas.promotion.trust import Trust
from schemas.stack_config import StackConfig
from schemas.vocabulary import Cloud, GeographyName, Stage, StatementType
from workflow.errors import WorkflowError
from workflow.project import Project

GetToken = Callable[[str], str]
"""A token for an audience."""


class NoSigningKey(WorkflowError):
    def __init__(self, kind: StatementType, geography: GeographyName) -> None:
        super().__init__(f"no key counts that may sign a statement of type {kind} for {geography}")
        self.advice = "`connector trust list` shows the keys and why they do not count"


class NotReachable(WorkflowError):
    """The geography has no vault or storage account yet, or not here."""


@dataclass(frozen=True)
class Identity:
    """As the runtime's managed identity: gives tokens; here an operator's."""

    get: GetToken

    async def token(self, audience: str) -> str:
        return await asyncio.to_thread(self.get, audience)


@dataclass(frozen=True)
class Operator:
    """Of one stack."""

    project: Project
    stack: StackConfig
    http: HttpClients
    identity: Identity

    @property
    def trust(self) -> Trust:
        return Trust(self.stack.promotion.trusted_keys, anchors_of(self.stack.cloud, self.project.files))

    def storage(self, geography: GeographyName) -> Storage | None:
        """None where the emulated cloud has no account of the geography."""
        url = blob_url(self.project, self.stack, geography)
        return Storage.at(url, self.http, cast("ManagedIdentity", self.identity)) if url else None

    def vault(self, geography: GeographyName) -> Vault | None:
        """None where the emulated cloud has no vault of the geography."""
        url = vault_url(self.project, self.stack, geography)
        return Vault.at(url, self.http, cast("ManagedIdentity", self.identity)) if url else None

    async def signed(self, kind: StatementType, geography: GeographyName, payload: bytes) -> bytes:
        """The content of a statement's file. Raises `NoSigningKey`, and what the vault raises."""
        pin = self.trust.signing_pin(kind, geography)
        if pin is None:
            raise NoSigningKey(kind, geography)
        vault = self.vault(geography) or cast("Vault", _Brought(self.stack.stage, geography))
        return await sign(vault, pin, self.trust, payload)

    async def public_key(
        self, geography: GeographyName, name: str, version: str | None
    ) -> tuple[str, ec.EllipticCurvePublicKey]:
        """A key's version (the current one, where none is named) and its public half. Raises `NotReachable`."""
        url = vault_url(self.project, self.stack, geography)
        if url is None:
            raise NotReachable(f"the emulated cloud has no vault of {geography}, {self.stack.stage}")
        token = await self.identity.token(VAULT_AUDIENCE)
        response = await self.http.to([url]).request(
            "GET",
            f"{url}keys/{name}" + (f"/{version}" if version else ""),
            params={"api-version": "7.4"},
            headers={"authorization": f"Bearer {token}"},
        )
        if not response.ok:
            raise NotReachable(f"the vault of {geography} answered {response.status} for key {name}")
        jwk = cast("dict[str, Any]", response.json_object().get("key") or {})
        key = ECAlgorithm.from_jwk({n: jwk[n] for n in ("kty", "crv", "x", "y") if n in jwk} | {"kty": "EC"})
        return str(jwk.get("kid", "")).rpartition("/")[2], cast("ec.EllipticCurvePublicKey", key)

    async def account(self) -> Account:
        """Who acts, as a pseudonym."""
        if self.stack.cloud is Cloud.EMULATED:
            return Account(tenant_id=self.stack.microsoft365.home_tenant_id, object_id=DEPLOYER_OBJECT_ID)
        claims = cast(
            "Mapping[str, Any]",
            jwt.decode(await self.identity.token(VAULT_AUDIENCE), options={"verify_signature": False}),
        )
        return Account(tenant_id=str(claims["tid"]), object_id=str(claims["oid"]))


@asynccontextmanager
async def operating(project: Project, stack: StackConfig) -> AsyncGenerator[Operator]:
    """An operator of a stack, for as long as the block runs."""
    emulation = stack.microsoft365.emulation
    bundle = project.root / emulation.ca_bundle if emulation else None
    http = open_clients(str(bundle) if bundle is not None and bundle.exists() else None)
    try:
        yield Operator(project, stack, http, Identity(_tokens(project, stack)))
    finally:
        await http.aclose()


def _tokens(project: Project, stack: StackConfig) -> GetToken:
    def emulated(audience: str) -> str:
        if not is_running(project.state):
            raise NotReachable("the emulated cloud is not running; `connector up` runs it")
        try:
            return operator_token(project.state, audience)
        except SupervisorUnavailable as problem:
            raise NotReachable(f"the emulated cloud gives no token: {problem}") from None

    def azure(audience: str) -> str:
        from azure.core.exceptions import ClientAuthenticationError
        from azure.identity import DefaultAzureCredential

        try:
            return DefaultAzureCredential().get_token(f"{audience}/.default").token
        except ClientAuthenticationError as problem:
            advice = "log in with `az login` as a member of the group promotion.revokers"
            raise IdentityUnavailable(f"Azure gives no token: {type(problem).__name__}", advice) from None

    return emulated if stack.cloud is Cloud.EMULATED else azure


# --- where things are -----------------------------------------------------------------------------------------------


def vault_url(project: Project, stack: StackConfig, geography: GeographyName) -> str | None:
    """A geography's vault; None where the emulated cloud has none."""
    if stack.cloud is Cloud.EMULATED:
        found = _of_emulated(project, stack.stage, geography, "Microsoft.KeyVault/vaults")
        return str(found["vaultUri"]) if found else None
    placement = _placement(stack, geography)
    zone = placement.azure_cloud.vault_zone.replace("privatelink.vaultcore.", "vault.")
    return f"https://{placement.unique('kv')}.{zone}/"


def blob_url(project: Project, stack: StackConfig, geography: GeographyName) -> str | None:
    """A geography's storage account; None where the emulated cloud has none."""
    if stack.cloud is Cloud.EMULATED:
        found = _of_emulated(project, stack.stage, geography, "Microsoft.Storage/storageAccounts")
        return str(found["primaryEndpoints"]["blob"]) if found else None
    placement = _placement(stack, geography)
    return f"https://{placement.compact('st')}.{placement.azure_cloud.blob_zone.removeprefix('privatelink.')}/"


def _of_emulated(project: Project, stage: Stage, geography: GeographyName, type_: str) -> dict[str, Any] | None:
    for found in Store(project.state).read().of_type(type_):
        tags = cast("dict[str, str]", found.get("tags") or {})
        if (tags.get("geography"), tags.get("stage")) == (geography, stage):
            return cast("dict[str, Any]", found["properties"])
    return None


def _placement(stack: StackConfig, geography: GeographyName) -> Any:
    from components.placement import Placement

    return Placement.of(geography, stack.geographies[geography], stack.stage, stack.cloud)


# --- before the emulated cloud runs ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Brought:
    """The keys that are brought to an emulated vault, before there is one: signs as a vault does."""

    stage: Stage
    geography: GeographyName

    async def sign(self, name: str, version: str, digest: bytes) -> bytes:
        wanted = (self.stage, self.geography, name, version)
        for key in json.loads(BROUGHT_KEYS.read_bytes()):
            if (key["stage"], key["geography"], key["name"], key["version"]) == wanted:
                private = serialization.load_pem_private_key(str(key["pem"]).encode(), None)
                der = cast("ec.EllipticCurvePrivateKey", private).sign(digest, ec.ECDSA(Prehashed(SHA256())))
                r, s = decode_dss_signature(der)
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        raise NotReachable(f"the emulated cloud has no key {name} {version} of {self.geography}, {self.stage}")
