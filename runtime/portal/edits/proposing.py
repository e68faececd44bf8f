"""From an edit to a branch of the repository: the commit's message, its signed trailer, the branch, the audit row.

A commit names nobody but the requester, by tenant and object id: in a trailer that the portal's key signs over the base
commit, the changed files and the person (`schemas/promotion/requester.py`), and that the gate verifies.
"""

import hashlib
import secrets

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from runtime.bootstrap import Services
from runtime.errors import ConnectorError, Refusal
from runtime.identity.links import Account
from runtime.portal import refusals
from runtime.portal.edits.editing import Edit, Edited, Verb
from runtime.portal.edits.source import Source
from runtime.portal.repository import Conflict, ProposedChange, Repository
from schemas.promotion import requester
from schemas.promotion.requester import SIGNED_BY, ChangeRequest, Unproven, changes_digest
from schemas.promotion.statement import Account as Pseudonym
from schemas.promotion.statement import at

_VERBS = {Verb.ADD: "Add", Verb.EDIT: "Edit", Verb.REMOVE: "Remove", Verb.ADD_ORGANIZATION: "Add"}


class TrailerUseless(ConnectorError):
    """The trailer that was signed here would prove nothing to the gate."""


async def propose(
    services: Services, repository: Repository, source: Source, made: Edited, account: Account
) -> ProposedChange | Conflict | Refusal:
    """Raises `RepositoryUnavailable`, `RepositoryRefused`, `VaultUnavailable`, `TrailerUseless`."""
    organization_id = str(made.organization["id"])
    files: dict[str, bytes | None] = {name: text.encode() for name, text in made.files.items()}
    subject = title(made.edit, organization_id)
    trailers = await _trailers(services, source.revision, files, account)
    if isinstance(trailers, Refusal):
        return trailers
    message = f"{subject}\n\nProposed in the portal.\n\n{trailers}"
    return await repository.propose(branch(organization_id), files, message, base=source.revision, title=subject)


def title(edit: Edit, organization_id: str) -> str:
    """By ids alone: a name in it could be anything."""
    if edit.verb is Verb.ADD_ORGANIZATION:
        return f"Add organisation {organization_id} with connection {edit.connection_id}"
    return f"{_VERBS[edit.verb]} connection {edit.connection_id} of {organization_id}"


def branch(organization_id: str) -> str:
    return f"connector/edit-{organization_id}-{secrets.token_hex(4)}"


async def _trailers(services: Services, base: str, files: dict[str, bytes | None], account: Account) -> str | Refusal:
    pin = services.trust.signing_pin(SIGNED_BY, services.settings.geography)
    if pin is None:
        return refusals.SIGNING_KEY_MISSING
    body = requester.payload(
        ChangeRequest(
            base=base,
            changes=changes_digest(files),
            geography=services.settings.geography,
            requester=Pseudonym(tenant_id=account.tenant_id, object_id=account.object_id),
            issued=at(services.clock()),
        )
    )
    raw = await services.vault.sign(pin.name, pin.version, hashlib.sha256(requester.to_sign(body)).digest())
    signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    made = requester.trailers(body, pin.key_id, signature)
    proven = requester.requester_of(f"x\n\n{made}", base, files, services.trust)
    if proven is None or isinstance(proven, Unproven):
        said = proven.message if proven else "there is none"
        raise TrailerUseless(f"{pin.name} made a trailer that proves nothing: {said}")
    return made
