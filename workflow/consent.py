"""`connector consent [ORG...]`: what a hospital's Microsoft 365 administrators get, and the registrations' manifests.

Owns the setup document, in words for who reads it, and the files. Addresses and manifests are in
`schemas/registration.py`, permissions in `schemas/graph_permissions.py`, the script in `schemas/access_policy.py`.
Needs neither Pulumi nor a network; federated credentials, whose subjects only Azure knows, are outputs of the stack.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from schemas.access_policy import MINUTES, access_policy_script
from schemas.registration import Registration, consent_urls, registrations
from schemas.stack_config import Organization, StackConfig
from workflow.errors import WorkflowError
from workflow.project import Project

DOCUMENT, SCRIPT = "setup.md", "access-policy.ps1"


class UnknownOrganization(WorkflowError):
    def __init__(self, names: Sequence[str], stack: str, known: Sequence[str]) -> None:
        super().__init__(f"stack {stack} has no organisation {', '.join(names)}")
        self.advice = f"organisations there: {', '.join(known) or 'none'}"


def chosen(project: Project, stack: str, names: Sequence[str]) -> tuple[StackConfig, list[Organization]]:
    """The stack and its organisations of those names; all where none. Raises `UnknownOrganization`, `StackInvalid`."""
    config = project.valid(stack)
    known = {o.id: o for o in config.organizations}
    if unknown := [name for name in names if name not in known]:
        raise UnknownOrganization(unknown, stack, list(known))
    return config, [known[name] for name in names or known]


def values(stack: StackConfig, organizations: Sequence[Organization]) -> dict[str, Any]:
    """As JSON: the registrations of the stage once, and of each organisation addresses and script."""
    return {
        "stage": stack.stage,
        "registrations": [
            {
                "applicationId": r.application_id,
                "permissions": [{"name": p.name, "type": p.type, "reason": p.reason} for p in r.permissions],
                "manifest": r.manifest(),
            }
            for r in registrations(stack)
        ],
        "organizations": [
            {
                "organization": o.id,
                "tenantId": o.tenant_id,
                "consentUrls": consent_urls(stack, o.geography, o.tenant_id),
                "accessPolicyScript": access_policy_script(stack, o),
            }
            for o in organizations
        ],
    }


def write(stack: StackConfig, organizations: Sequence[Organization], folder: Path) -> list[Path]:
    """The files, below the folder: a document and a script for each organisation, a manifest for each registration."""
    files = {folder / o.id / DOCUMENT: document(stack, o) for o in organizations}
    # PowerShell 5.1 reads a script without a byte order mark in the machine's code page.
    files |= {folder / o.id / SCRIPT: "\ufeff" + access_policy_script(stack, o) for o in organizations}
    for registration in registrations(stack):
        text = json.dumps(registration.manifest(), indent=2) + "\n"
        files[folder / f"registration-{registration.application_id}.json"] = text
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return list(files)


def document(stack: StackConfig, organization: Organization) -> str:
    """What the administrators of a hospital read, in Markdown."""
    return "\n".join(_lines(stack, organization)) + "\n"


def text(stack: StackConfig, organization: Organization) -> str:
    """Document and script together, for a terminal."""
    return f"{document(stack, organization)}\n--- {SCRIPT} ---\n{access_policy_script(stack, organization)}"


def _lines(stack: StackConfig, organization: Organization) -> Iterator[str]:
    urls = consent_urls(stack, organization.geography, organization.tenant_id)
    found = registrations(stack)
    yield f"# Teams visits at {_plain(organization.name)}: setup in Microsoft 365 ({stack.stage})"
    yield ""
    yield "Clinicians and patients start a video visit in the health record, and it takes place in Microsoft Teams. For"
    yield "this, your Microsoft 365 must accept an application, the Teams EHR connector, and let it make meetings. You"
    yield "make no application, no account and no password, and nobody asks you for one."
    yield ""
    yield f"Your Microsoft 365 tenant: `{organization.tenant_id}`."
    yield ""
    yield "## Step 1: accept the application"
    yield ""
    yield "**Who:** a Global Administrator or Privileged Role Administrator. **How long:** two minutes."
    yield ""
    yield "Open the link, sign in, compare the application id and the permissions with this page, and press *Accept*."
    yield "A page of the connector then says that it is done."
    for registration in found:
        yield from _registration(registration, urls[registration.application_id])
    yield ""
    yield "*Application* means: also when nobody is signed in. *Delegated* means: only while a person is signed in, and"
    yield "never more than that person may. The application reads no mail, no calendar, no files and no chats."
    yield ""
    yield "## Step 2: let it make the meetings of your clinicians"
    yield ""
    yield f"**Who:** a Teams Administrator. **How long:** five minutes; it works after up to {MINUTES} minutes."
    yield ""
    yield f"Run `{SCRIPT}` in PowerShell. What it does stands in its first lines. With `-Group` and the object id of a"
    yield "group, only the members of that group can begin visits; without it, everybody in your organisation can."
    yield ""
    yield "## To take it back"
    yield ""
    yield "Delete the application under *Enterprise applications* in the Microsoft Entra admin center. From then on no"
    yield "visit can be started; a meeting under way goes on."


def _registration(registration: Registration, url: str) -> Iterator[str]:
    yield ""
    yield f"### {registration.name}"
    yield ""
    yield f"Application id: `{registration.application_id}`."
    yield ""
    yield f"<{url}>"
    yield ""
    yield "| permission | type | what for |"
    yield "|---|---|---|"
    for permission in registration.permissions:
        yield f"| `{permission.name}` | {permission.type} | {permission.reason} |"


def _plain(name: str) -> str:
    """A name as text of Markdown (CommonMark 0.31 section 2.4)."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|&~-])", r"\\\1", name)
