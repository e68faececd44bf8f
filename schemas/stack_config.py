"""The stack configuration: what a platform team writes into `Pulumi.<stack>.yaml`, as typed values.

Owns the shape and the meaning of every key under `teams-ehr-connector:`. Keys are spelled in camelCase in YAML.
Rules that hold between values are in `rules/`; reading files is in `loading.py`.
"""

from typing import Annotated, Literal

from pydantic import Field

from schemas.config_model import ConfigModel
from schemas.promotion_config import Promotion
from schemas.scalars import (
    AddressRange,
    ContextKey,
    DisplayName,
    EhrOrigin,
    EhrPath,
    EhrUrl,
    EmailAddress,
    FhirBaseUrl,
    FilePath,
    GitHubLogin,
    Guid,
    HttpsOrigin,
    Identifier,
    Image,
    ImageDigest,
    OpaqueId,
    PublicHost,
    Region,
    SecretName,
)
from schemas.vocabulary import Cloud, EhrKind, GeographyName, Stage

PROJECT = "teams-ehr-connector"


# --- identity platform ------------------------------------------------------------------------------------------


class NationalCloud(ConfigModel):
    """Where Entra and Graph are in one of Microsoft's national clouds.

    `exchange_audience` is what a managed identity's token is for that stands for an application's secret there (Entra
    documentation, "Configure an application to trust a managed identity").
    """

    entra_url: str
    graph_url: str
    exchange_audience: str = "api://AzureADTokenExchange"


NATIONAL_CLOUDS: dict[str, NationalCloud] = {
    "global": NationalCloud(entra_url="https://login.microsoftonline.com", graph_url="https://graph.microsoft.com"),
    "us-government": NationalCloud(
        entra_url="https://login.microsoftonline.us",
        graph_url="https://graph.microsoft.us",
        exchange_audience="api://AzureADTokenExchangeUSGov",
    ),
    "us-government-dod": NationalCloud(
        entra_url="https://login.microsoftonline.us",
        graph_url="https://dod-graph.microsoft.us",
        exchange_audience="api://AzureADTokenExchangeUSGov",
    ),
    "china": NationalCloud(
        entra_url="https://login.partner.microsoftonline.cn",
        graph_url="https://microsoftgraph.chinacloudapi.cn",
        exchange_audience="api://AzureADTokenExchangeChina",
    ),
}
"""Closed list: Microsoft Graph documentation, "National cloud deployments"."""


def exchange_audience(entra_url: str) -> str:
    """The exchange audience of the cloud whose Entra that is; an emulated Entra is like the global one."""
    found = {cloud.entra_url: cloud.exchange_audience for cloud in NATIONAL_CLOUDS.values()}
    return found.get(entra_url, NATIONAL_CLOUDS["global"].exchange_audience)


class EmulatedMicrosoft365(ConfigModel):
    """Where Entra and Graph are when they are emulated, and who vouches for their certificates."""

    entra_url: HttpsOrigin
    graph_url: HttpsOrigin
    ca_bundle: FilePath = Field(description="PEM file of the emulators' certificate authority, inside the project")


class Microsoft365(ConfigModel):
    """The connector's multi-tenant app registration of this stage, and the cloud in which it lives."""

    application_id: Guid
    portal_application_id: Guid | None = Field(
        default=None, description="The portal's app registration, without Graph permissions; needed in the test stage"
    )
    home_tenant_id: Guid = Field(description="The platform team's tenant, which holds the app registration")
    national_cloud: Literal["global", "us-government", "us-government-dod", "china"] | None = None
    emulation: EmulatedMicrosoft365 | None = None

    @property
    def endpoints(self) -> NationalCloud:
        """Entra's and Graph's origins, without a slash at the end."""
        if self.emulation:
            return NationalCloud(entra_url=self.emulation.entra_url, graph_url=self.emulation.graph_url)
        return NATIONAL_CLOUDS[self.national_cloud or "global"]


# --- geographies ------------------------------------------------------------------------------------------------


class PublicHosts(ConfigModel):
    """The host names of both stages, in both stages' files: integration records of test name production's host."""

    test: PublicHost
    production: PublicHost

    def of(self, stage: Stage) -> str:
        return self.test if stage is Stage.TEST else self.production


class Network(ConfigModel):
    """The address ranges of a geography's virtual network."""

    address_space: AddressRange
    apps_subnet: AddressRange = Field(description="/27 or larger, delegated to Microsoft.App/environments")
    database_subnet: AddressRange = Field(
        description="/28 or larger, delegated to Microsoft.DBforPostgreSQL/flexibleServers"
    )
    private_endpoints_subnet: AddressRange
    gateway_subnet: AddressRange = Field(description="/26 or larger, /24 recommended; the gateway's alone")
    operator_ranges: tuple[AddressRange, ...] = Field(
        default=(), description="Ranges of peered networks from which operators reach vault, storage and database"
    )


class Certificates(ConfigModel):
    """The vault's certificates, by name: the vault is the geography's own. One may be for both hosts."""

    public_host: SecretName = Field(description="Key Vault certificate of this stage's public host")
    portal_host: SecretName | None = Field(
        default=None, description="Key Vault certificate of the portal's host; needed in the test stage"
    )


class Geography(ConfigModel):
    """One copy of the infrastructure."""

    subscription_id: Guid
    location: Region
    allowed_regions: Annotated[tuple[Region, ...], Field(min_length=1)]
    public_hosts: PublicHosts
    portal_host: PublicHost | None = Field(
        default=None, description="The portal's host name; needed in the test stage, which alone has a portal"
    )
    network: Network
    certificates: Certificates
    alert_email: EmailAddress = Field(description="Who is told when something needs a person, day and night: one list")
    image: ImageDigest | None = Field(
        default=None, description="The digest that this geography runs instead of the stack's image"
    )
    paused: bool = Field(
        default=False,
        description="Whether its apps keep what they run, image and configuration, whatever else is configured; "
        "everything but the apps is updated all the same, and apps that are not there yet are made",
    )
    replicas: Annotated[int, Field(ge=1, le=3)] | None = Field(
        default=None, description="Of each app, only where cloud is emulated; on Azure the stage says how many"
    )


# --- organisations ----------------------------------------------------------------------------------------------


class Person(ConfigModel):
    """An Entra account by tenant and object id; the display name decides nothing."""

    tenant_id: Guid
    object_id: Guid
    display_name: DisplayName
    github: GitHubLogin | None = Field(default=None, description="Their GitHub account, where they review there")


class PublicClient(ConfigModel):
    """A public OAuth client: PKCE alone (RFC 7636)."""

    method: Literal["none"]


class ClientSecretBasic(ConfigModel):
    """A confidential client with a secret, sent as HTTP Basic (RFC 6749 section 2.3.1)."""

    method: Literal["client_secret_basic"]
    secret: SecretName = Field(description="Key Vault secret that holds the client secret")


class PrivateKeyJwt(ConfigModel):
    """A confidential client that signs an assertion (RFC 7523; SMART App Launch 2.2 "Client Authentication")."""

    method: Literal["private_key_jwt"]
    key: SecretName = Field(description="Key Vault secret that holds the private JWK, with its kid")
    algorithm: Literal["RS384", "ES384"]


ClientAuthentication = Annotated[PublicClient | ClientSecretBasic | PrivateKeyJwt, Field(discriminator="method")]


class LaunchClient(ConfigModel):
    """The OAuth client of a launch: one for providers, one for patients."""

    client_id: OpaqueId
    authentication: ClientAuthentication
    issuer: EhrUrl | None = Field(
        default=None, description="The OpenID issuer of this client's id_tokens, where it is not the FHIR base URL"
    )


class BackendClient(ConfigModel):
    """The OAuth client of write-backs (SMART Backend Services)."""

    client_id: OpaqueId
    authentication: PrivateKeyJwt


class ApprovalClient(ConfigModel):
    """The public OAuth client by which an approver proves a FHIR base URL (scope `openid`, PKCE)."""

    client_id: OpaqueId
    issuer: EhrUrl | None = Field(
        default=None, description="The OpenID issuer of this client's id_tokens, where it is not the FHIR base URL"
    )


class Clients(ConfigModel):
    """The OAuth clients that the EHR registered for the connector, one for each kind of access."""

    provider: LaunchClient
    patient: LaunchClient
    backend: BackendClient | None = Field(default=None, description="Needed where the EHR kind is epic")
    approval: ApprovalClient


class LaunchContextKeys(ConfigModel):
    """The token response's parameters that carry the visit's context; there is never a fallback."""

    session_id: ContextKey
    department_id: ContextKey | None = None


class IntegrationRecordIds(ConfigModel):
    """The EHR's identifiers of the records made for the connector."""

    provider: OpaqueId
    patient: OpaqueId


class ExternalConnectionStatus(ConfigModel):
    """How Epic's SetExternalConnectionStatus is called. One public sample exists, so everything is a setting."""

    method: Literal["GET", "POST"] = "GET"
    path: EhrPath = "api/epic/2018/Telehealth/ContextLinking/SetExternalConnectionStatus"
    vendor_name: OpaqueId = "TeamsEhrConnector"
    conference_id_parameter: ContextKey = "ConferenceID"
    external_id_parameter: ContextKey = "ExternalID"
    external_id_type_parameter: ContextKey = "ExternalIDType"
    vendor_name_parameter: ContextKey = "VendorName"
    connection_status_parameter: ContextKey = "ConnectionStatus"
    staff_external_id_type: OpaqueId = "Provider"
    patient_external_id_type: OpaqueId = "Patient"
    connected: OpaqueId = "Connected"
    disconnected: OpaqueId = "Disconnected"


class EhrConnection(ConfigModel):
    """One FHIR base URL of an organisation for one stage."""

    id: Identifier
    stage: Stage
    ehr: EhrKind
    fhir_base_url: FhirBaseUrl
    shared_with: tuple[Identifier, ...] = Field(
        default=(), description="Organisations that use this FHIR base URL too; each must name the other"
    )
    approver: Person
    clients: Clients
    token_endpoint_origins: tuple[EhrOrigin, ...] = Field(
        default=(), description="Origins besides the FHIR base URL's that its discovery may name for its endpoints"
    )
    launch_context_keys: LaunchContextKeys
    integration_record_ids: IntegrationRecordIds
    frame_origins: tuple[EhrOrigin, ...] = Field(description="Origins of EHR pages that may frame ours")
    external_connection_status: ExternalConnectionStatus | None = Field(
        default=None, description="Where this Epic differs from the defaults"
    )


class Organization(ConfigModel):
    """One health-care organisation: one Microsoft 365 tenant, one home geography."""

    id: Identifier
    name: DisplayName
    geography: GeographyName
    tenant_id: Guid
    administrators: Annotated[tuple[Person, ...], Field(min_length=1)]
    one_person: bool = Field(
        default=False, description="Whether an administrator may be the approver of the own organisation"
    )
    connections: Annotated[tuple[EhrConnection, ...], Field(min_length=1)]


# --- the stack --------------------------------------------------------------------------------------------------


class StackConfig(ConfigModel):
    """Everything under `teams-ehr-connector:` of one stack, with organisations' files already read."""

    stage: Stage
    cloud: Cloud
    image: Image = Field(description="What each geography runs that names no image of its own; none makes no apps yet")
    microsoft365: Microsoft365
    geographies: Annotated[dict[GeographyName, Geography], Field(min_length=1)]
    promotion: Promotion
    organizations: tuple[Organization, ...]

    def image_in(self, geography: GeographyName, image: str | None) -> str | None:
        """What a geography is to run, where `image` is the stack's; None where it keeps what it runs, if anything."""
        config = self.geographies[geography]
        return None if config.paused else config.image or image

    def served_in(self, geography: GeographyName) -> tuple[Organization, ...]:
        """The organisations at home in a geography, each with the connections of this stage only."""
        return self._at_home(geography, self.stage)

    def proposed_in(self, geography: GeographyName) -> tuple[Organization, ...]:
        """In the test stage, the organisations with the production connections that they propose; else none."""
        return self._at_home(geography, Stage.PRODUCTION) if self.stage is Stage.TEST else ()

    def _at_home(self, geography: GeographyName, stage: Stage) -> tuple[Organization, ...]:
        """Whoever has no connection of the stage is left out: an organisation without connections is none."""
        at_home = (o for o in self.organizations if o.geography is geography)
        of_stage = ((o, tuple(c for c in o.connections if c.stage is stage)) for o in at_home)
        return tuple(o.model_copy(update={"connections": found}) for o, found in of_stage if found)
