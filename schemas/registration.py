"""The app registrations of a stage, as Entra takes them, and the address at which a hospital consents to one.

One multi-tenant registration serves every hospital: it has no secret, but a federated credential for each managed
identity that speaks for it; a hospital only consents. Owns the redirect addresses, the admin consent URL (Microsoft
identity platform documentation, "Admin consent on the Microsoft identity platform") and the manifest (Microsoft Graph
documentation, "application resource type" and "federatedIdentityCredential resource type"). What it may do is
`graph_permissions.py`.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from schemas.graph_permissions import CONNECTOR, GRAPH, PORTAL, Permission
from schemas.stack_config import Microsoft365, StackConfig
from schemas.vocabulary import GeographyName, RuntimeRole, Stage

CONSENTED = "/identity/consented"
"""Where Entra sends an administrator after consent, on a geography's public host."""
SIGNED_IN = "/identity/callback"
PORTAL_SIGNED_IN = "/sign-in/callback"
ANY_TENANT = "{tenant}"


@dataclass(frozen=True)
class Registration:
    """One app registration of a stage. `roles` are whose managed identities speak for it, in each geography."""

    name: str
    application_id: str
    redirect_uris: tuple[str, ...]
    permissions: tuple[Permission, ...]
    roles: frozenset[RuntimeRole]
    id_token_claims: tuple[str, ...] = ()

    def manifest(self) -> dict[str, Any]:
        """What Graph takes to make or change it: `POST /applications`, `PATCH /applications(appId='...')`."""
        access = [{"id": p.id, "type": p.type.in_manifest} for p in self.permissions]
        claims = [{"name": name, "essential": False} for name in self.id_token_claims]
        return {
            "displayName": self.name,
            "signInAudience": "AzureADMultipleOrgs",
            "web": {"redirectUris": list(self.redirect_uris)},
            "requiredResourceAccess": [{"resourceAppId": GRAPH, "resourceAccess": access}],
            "optionalClaims": {"idToken": claims},
            "passwordCredentials": [],
            "keyCredentials": [],
        }


def registrations(stack: StackConfig) -> tuple[Registration, ...]:
    """The connector's, and in the test stage the portal's."""
    microsoft365, places = stack.microsoft365, stack.geographies.values()
    hosts = [place.public_hosts.of(stack.stage) for place in places]
    connector = Registration(
        f"Teams EHR connector ({stack.stage})",
        microsoft365.application_id,
        tuple(f"https://{host}{path}" for path in (SIGNED_IN, CONSENTED) for host in hosts),
        CONNECTOR,
        frozenset({RuntimeRole.APPLICATION, RuntimeRole.WORKER}),
    )
    portals = [place.portal_host for place in places if place.portal_host is not None]
    if stack.stage is not Stage.TEST or microsoft365.portal_application_id is None:
        return (connector,)
    portal = Registration(
        "Teams EHR connector portal",
        microsoft365.portal_application_id,
        (*(f"https://{h}{PORTAL_SIGNED_IN}" for h in portals), *(f"https://{h}{CONSENTED}" for h in hosts)),
        PORTAL,
        frozenset({RuntimeRole.PORTAL}),
        ("auth_time",),
    )
    return (connector, portal)


def consent_url(microsoft365: Microsoft365, application_id: str, tenant: str, host: str) -> str:
    """Where an administrator of `tenant` reads what the application may do, and accepts it for all of the tenant.

    `{tenant}` as the tenant gives the pattern. `.default` asks for what the registration requires; without it
    application permissions cannot be asked for.
    """
    endpoints = microsoft365.endpoints
    query = {
        "client_id": application_id,
        "scope": f"{endpoints.graph_url}/.default",
        "redirect_uri": f"https://{host}{CONSENTED}",
    }
    return f"{endpoints.entra_url}/{tenant}/v2.0/adminconsent?{urlencode(query)}"


def consent_urls(stack: StackConfig, geography: GeographyName, tenant: str = ANY_TENANT) -> dict[str, str]:
    """Of each registration of the stage, by its application id."""
    host = stack.geographies[geography].public_hosts.of(stack.stage)
    ids = [r.application_id for r in registrations(stack)]
    return {i: consent_url(stack.microsoft365, i, tenant, host) for i in ids}


def issuer(microsoft365: Microsoft365) -> str:
    """Who issues the managed identities' tokens: Entra, in the tenant of the subscription."""
    return f"{microsoft365.endpoints.entra_url}/{microsoft365.home_tenant_id}/v2.0"
