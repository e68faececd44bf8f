"""Who is in which tenant, and which applications are registered: lookups over the world, with Entra's refusals.

Owns the meaning of the first path segment (`common`, `organizations` or a tenant id) and of a guest account.
"""

from dataclasses import dataclass

from emulators.entra import errors
from emulators.world import AppRegistration, Tenant, User, World

ANY_TENANT = frozenset({"common", "organizations"})


@dataclass(frozen=True)
class Account:
    """A user as seen in one tenant."""

    tenant: Tenant
    user: User

    @property
    def is_guest(self) -> bool:
        return self.user.home_tenant_id not in (None, self.tenant.id)


class Directory:
    """Lookups that raise `EntraError` as Entra does."""

    def __init__(self, world: World) -> None:
        self.url = world.entra.url
        self.graph_url = world.graph.url
        self._tenants = {t.id: t for t in world.entra.tenants}
        self._registrations = {r.application_id: r for r in world.entra.registrations}
        self._consents = {r.application_id: set(r.consented_tenants) for r in world.entra.registrations}

    def require_segment(self, segment: str) -> str:
        """The segment in lower case, if it names a tenant or any tenant."""
        lowered = segment.lower()
        if lowered not in ANY_TENANT and lowered not in self._tenants:
            raise errors.tenant_not_found(segment)
        return lowered

    def tenant(self, segment: str) -> Tenant:
        """The one tenant that the segment names."""
        if segment.lower() in ANY_TENANT:
            raise errors.EntraError(
                50059,
                "invalid_request",
                "No tenant-identifying information found in either the request or implied by any provided credentials.",
            )
        return self._tenants[self.require_segment(segment)]

    def registration(self, client_id: str, segment: str) -> AppRegistration:
        found = self._registrations.get(client_id.lower())
        if found is None:
            raise errors.application_not_found(client_id, segment)
        return found

    def require_consent(self, registration: AppRegistration, tenant_id: str) -> None:
        if tenant_id not in self._consents[registration.application_id]:
            raise errors.not_consented(registration.application_id)

    def consent(self, registration: AppRegistration, tenant_id: str) -> None:
        """An administrator of the tenant accepted; kept as long as this process."""
        self._consents[registration.application_id].add(tenant_id)

    def accounts(self, segment: str) -> tuple[Account, ...]:
        """Who can sign in under a segment: members and guests of a tenant, or everybody at home in theirs."""
        if segment not in ANY_TENANT:
            tenant = self._tenants[segment]
            return tuple(Account(tenant, u) for u in tenant.users)
        everybody = (Account(t, u) for t in self._tenants.values() for u in t.users)
        return tuple(a for a in everybody if not a.is_guest)

    def account(self, segment: str, login: str) -> Account | None:
        wanted = login.strip().lower()
        return next((a for a in self.accounts(segment) if a.user.user_principal_name.lower() == wanted), None)

    def exists_elsewhere(self, login: str) -> bool:
        wanted = login.strip().lower()
        return any(u.user_principal_name.lower() == wanted for t in self._tenants.values() for u in t.users)

    def by_object_id(self, tenant_id: str, object_id: str) -> Account | None:
        tenant = self._tenants.get(tenant_id)
        users = tenant.users if tenant else ()
        return next((Account(tenant, u) for u in users if tenant and u.object_id == object_id), None)
