"""The portal with its repository, and an administrator's forms as a browser sends them.

Owns the steps of an edit: opening a form, changing fields, asking for the review, proposing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape

import httpx

from tests.support.bare_repository import BareRepository
from tests.support.portal import Person, Portal
from tests.support.samples import organization_files, stack_files, text

STACK = "Pulumi.local.yaml"
PRAIRIE = "organizations/local/prairie.yaml"
EDIT = "/organizations/lakeside/edit"
TENANT = "1a1a1a1a-0000-4000-8000-000000000001"


def repository_files() -> dict[str, bytes]:
    """The samples, as the repository of the configuration holds them."""
    files = {f: text(f).encode() for f in (*stack_files(), *organization_files())}
    return {**files, "Pulumi.yaml": b"name: teams-ehr-connector\n"}


@dataclass
class Office:
    """The portal with its repository."""

    portal: Portal
    bare: BareRepository

    @property
    def branch(self) -> str:
        (branch,) = [b for b in self.bare.branches() if b != "main"]
        return branch

    def is_untouched(self) -> bool:
        return set(self.bare.branches()) == {"main"}

    def file(self, path: str = STACK) -> str:
        return self.bare.files(self.branch)[path].decode()


# --- a form as a browser sends it -----------------------------------------------------------------------------------


def form_of(page: httpx.Response, action: str) -> dict[str, str]:
    """The fields of the page's form with this action, as they are."""
    assert page.status_code in (200, 409, 422, 429), page.text
    (form,) = re.findall(rf'<form[^>]* action="{re.escape(action)}".*?</form>', page.text, re.DOTALL)
    fields = {
        unescape(n): unescape(v) for n, v in re.findall(r'<input[^>]*? name="([^"]+)"[^>]*? value="([^"]*)"', form)
    }
    for name, body in re.findall(r'<select[^>]*? name="([^"]+)"[^>]*>(.*?)</select>', form, re.DOTALL):
        options = re.findall(r'<option value="([^"]*)"( selected)?', body)
        fields[name] = next((v for v, selected in options if selected), options[0][0])
    for name, body in re.findall(r'<textarea[^>]*? name="([^"]+)"[^>]*>\n?(.*?)</textarea>', form, re.DOTALL):
        fields[name] = unescape(body)
    return fields


async def filled(person: Person, path: str, changes: Mapping[str, str]) -> httpx.Response:
    """Open a form, change fields, and ask for the review."""
    fields = form_of(await person.get(path), f"{EDIT}/review")
    assert set(changes) <= set(fields), set(changes) - set(fields)
    return await person.post(f"{EDIT}/review", {**fields, **changes, "action": "review"})


async def reviewed(person: Person) -> httpx.Response:
    """A change of one value, as it would be proposed."""
    return await filled(person, f"{EDIT}/connections/lakeside-test", {"integrationRecordIds.patient": "9"})


async def proposed(person: Person, review: httpx.Response) -> httpx.Response:
    assert review.status_code == 200, problems(review)
    return await person.post(f"{EDIT}/propose", form_of(review, f"{EDIT}/propose"))


def problems(page: httpx.Response) -> list[str]:
    return [unescape(re.sub("<[^>]+>", "", p)) for p in re.findall(r'<p class="error">(.*?)</p>', page.text)]


NEW = {
    "id": "lakeside-spare",
    "fhirBaseUrl": "https://127.0.0.1:8471/interconnect-lakeside-spare/api/FHIR/R4",
    "clients.provider.clientId": "lakeside-spare-provider",
    "clients.provider.authentication.method": "client_secret_basic",
    "clients.provider.authentication.secret": "lakeside-spare-provider-secret",
    "clients.patient.clientId": "lakeside-spare-patient",
    "clients.backend.clientId": "lakeside-spare-backend",
    "clients.backend.authentication.key": "lakeside-spare-backend-key",
    "clients.approval.clientId": "lakeside-spare-approval",
    "integrationRecordIds.provider": "0101",
    "integrationRecordIds.patient": "0102",
}

ANNEX = {
    "organization.id": "lakeside-annex",
    "organization.name": "Lakeside Annex",
    "approver": "new",
    "approver.objectId": "3c3c3c3c-0000-4000-8000-0000000000aa",
    "approver.displayName": "Nia New",
}
