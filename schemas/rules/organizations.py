"""Rules of organisations: ids, geographies, people."""

from collections.abc import Iterator

from schemas.problems import shown
from schemas.rules.rule import Violation, enum_text, organizations_of, repeated, rule
from schemas.stack_config import StackConfig
from schemas.unknown import lacks


@rule("organization-id-repeated")
def organization_ids_are_unique(stack: StackConfig) -> Iterator[Violation]:
    return repeated(((((*p, "id")), o.id) for p, o in organizations_of(stack)), "an organisation id")


@rule("organization-geography-missing")
def geography_of_an_organization_is_configured(stack: StackConfig) -> Iterator[Violation]:
    for path, organization in organizations_of(stack):
        if lacks(stack.geographies, organization.geography):
            expected = "one of the stack's geographies: " + ", ".join(map(str, stack.geographies))
            yield Violation((*path, "geography"), expected, enum_text(organization.geography))


@rule("guest-account")
def people_are_of_the_organizations_tenant(stack: StackConfig) -> Iterator[Violation]:
    for path, organization in organizations_of(stack):
        people = [((*path, "administrators", i), p) for i, p in enumerate(organization.administrators)]
        people += [((*path, "connections", i, "approver"), c.approver) for i, c in enumerate(organization.connections)]
        for at, person in people:
            if person.tenant_id != organization.tenant_id:
                expected = f"an account of the organisation's tenant {organization.tenant_id}, not a guest"
                yield Violation((*at, "tenantId"), expected, shown(str(person.tenant_id)))
