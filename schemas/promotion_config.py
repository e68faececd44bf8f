"""The configuration of promotion: whose signatures count, where changes are proposed, what a rehearsal must cover.

Owns the key `teams-ehr-connector:promotion` of a stack. What the words do is in `promotion/`.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.config_model import ConfigModel
from schemas.scalars import (
    BranchName,
    FilePath,
    GitHubLogin,
    Guid,
    HttpsOrigin,
    HttpsUrl,
    Identifier,
    KeyId,
    KeyVersion,
    OpaqueId,
    SecretName,
    Timestamp,
)
from schemas.vocabulary import GeographyName, RehearsalPolicy, StatementType


class TrustedKey(ConfigModel):
    """A pinned key version and what it may sign; it counts only where the image lists it too (`promotion/trust.py`)."""

    key_id: KeyId = Field(description="SHA-256 of the public key (SubjectPublicKeyInfo, DER)")
    name: SecretName = Field(description="The key's name in its Key Vault")
    version: KeyVersion = Field(description="The key's version in its Key Vault")
    geography: GeographyName = Field(description="The geography for which alone it signs")
    statement_types: Annotated[tuple[StatementType, ...], Field(min_length=1)] = Field(
        description="What it may sign, as far as the image's trust anchor allows that too"
    )
    retired_at: Timestamp | None = Field(
        default=None, description="Statements that it issued at or after this time count no more"
    )


class GitHubApp(ConfigModel):
    """The GitHub App by which the portal opens pull requests: contents and pull requests of one repository, no more."""

    app_id: OpaqueId = Field(description="The app's id at GitHub")
    installation_id: OpaqueId = Field(description="The id of the app's installation in that repository")
    key: SecretName = Field(description="Key Vault secret that holds the app's private key (PEM)")
    api_url: HttpsOrigin = Field(
        default="https://api.github.com", description="Where GitHub's REST API is, if not at github.com"
    )


class RemoteKind(StrEnum):
    """How a change is proposed."""

    FOLDER = "folder"
    GIT = "git"
    GITHUB = "github"


class Repository(ConfigModel):
    """The git repository that holds the configuration, and how the portal proposes changes of it."""

    url: HttpsUrl | None = Field(default=None, description="Where the remote is, over https")
    folder: FilePath | None = Field(
        default=None, description="A bare repository inside the project, only where cloud is emulated"
    )
    branch: BranchName = Field(default="main", description="The branch that is deployed, on which changes are proposed")
    credential: SecretName | None = Field(
        default=None, description="Key Vault secret that holds a token for the remote, where it is not GitHub"
    )
    github: GitHubApp | None = Field(default=None, description="By which app pull requests are opened, if it is GitHub")

    @property
    def kind(self) -> RemoteKind:
        if self.folder is not None:
            return RemoteKind.FOLDER
        return RemoteKind.GITHUB if self.github is not None else RemoteKind.GIT


class Reviewer(ConfigModel):
    """A platform engineer who reviews pull requests: the GitHub account, and whose it is: nobody reviews the own."""

    github: GitHubLogin = Field(description="Account at GitHub")
    tenant_id: Guid = Field(description="Tenant id of the same person's account at Microsoft 365")
    object_id: Guid = Field(description="Object id of that account")


class Promotion(ConfigModel):
    """How connections of this stack come to be served."""

    source: Identifier | None = Field(
        default=None, description="The test stack from which a production stack is promoted: NAME of Pulumi.NAME.yaml"
    )
    trusted_keys: tuple[TrustedKey, ...] = Field(
        description="The keys whose statements count; while there is none, nothing is approved"
    )
    approval_days: Annotated[int, Field(ge=1, le=730)] = Field(
        default=365, description="For how many days an approval holds"
    )
    rehearsal: RehearsalPolicy = Field(
        default=RehearsalPolicy.EACH_IMAGE, description="Whether a visit in test counts for its image alone"
    )
    repository: Repository | None = Field(default=None, description="Needed in the test stage, for the portal's edits")
    reviewers: tuple[Reviewer, ...] = Field(
        default=(),
        description="Platform engineers: one who is not the requester reviews each pull request (`connector merge`)",
    )
    auditors: Guid | None = Field(
        default=None, description="Object id of the Entra group that may read audit rows and their anchored heads"
    )
    revokers: Guid | None = Field(
        default=None, description="Object id of the Entra group that may publish revocations and break glass"
    )
