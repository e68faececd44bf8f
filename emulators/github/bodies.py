"""The properties that each request body may have. Unknown ones are refused, which GitHub itself does not."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Sha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Text = Annotated[str, StringConstraints(max_length=65536)]


class Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class AccessToken(Body):
    repositories: list[str] | None = None
    permissions: dict[str, Literal["read", "write", "admin"]] | None = None


class Nothing(Body):
    pass


# --- git data


class NewBlob(Body):
    content: str
    encoding: Literal["utf-8", "base64"] = "utf-8"


class TreeEntry(Body):
    path: Annotated[str, Field(min_length=1)]
    mode: Literal["100644", "100755", "040000", "160000", "120000"]
    type: Literal["blob", "tree", "commit"]
    sha: Sha | None = None
    content: str | None = None


class NewTree(Body):
    tree: Annotated[list[TreeEntry], Field(min_length=1)]
    base_tree: Sha | None = None


class Identity(Body):
    name: Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\n<>]+$")]
    email: Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\n<>]+$")]
    date: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")] | None = None


class NewCommit(Body):
    message: Annotated[str, Field(min_length=1)]
    tree: Sha
    parents: list[Sha] = []
    author: Identity | None = None
    committer: Identity | None = None


class NewRef(Body):
    ref: str
    sha: Sha


class ChangedRef(Body):
    sha: Sha
    force: bool = False


# --- pull requests


class NewPull(Body):
    title: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    head: Annotated[str, Field(min_length=1)]
    base: Annotated[str, Field(min_length=1)]
    body: Text | None = None
    draft: bool = False
    maintainer_can_modify: bool = True


class ChangedPull(Body):
    title: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    body: Text | None = None
    state: Literal["open", "closed"] | None = None


class NewReview(Body):
    event: Literal["APPROVE", "REQUEST_CHANGES", "COMMENT"]
    body: Text | None = None
    commit_id: Sha | None = None


class Dismissal(Body):
    message: Annotated[str, Field(min_length=1)]
    event: Literal["DISMISS"] = "DISMISS"


class Merge(Body):
    sha: Sha | None = None
    merge_method: Literal["merge", "squash"] = "merge"
    commit_title: str | None = None
    commit_message: str | None = None


# --- checks and comments


class Output(Body):
    title: Annotated[str, Field(min_length=1)]
    summary: Text
    text: Text | None = None


Conclusion = Literal["success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required"]
Status = Literal["queued", "in_progress", "completed"]


class NewCheckRun(Body):
    name: Annotated[str, Field(min_length=1)]
    head_sha: Sha
    status: Status | None = None
    conclusion: Conclusion | None = None
    external_id: str | None = None
    details_url: str | None = None
    output: Output | None = None


class ChangedCheckRun(Body):
    name: Annotated[str, Field(min_length=1)] | None = None
    status: Status | None = None
    conclusion: Conclusion | None = None
    external_id: str | None = None
    details_url: str | None = None
    output: Output | None = None


class NewStatus(Body):
    state: Literal["error", "failure", "pending", "success"]
    context: Annotated[str, Field(min_length=1)] = "default"
    description: Annotated[str, StringConstraints(max_length=140)] | None = None
    target_url: str | None = None


class Comment(Body):
    body: Annotated[str, StringConstraints(min_length=1, max_length=65536)]


class NewDeployment(Body):
    ref: str
    environment: str = "production"
    description: Annotated[str, StringConstraints(max_length=140)] | None = None
    auto_merge: Literal[False] = False
    required_contexts: list[str] | None = None
    production_environment: bool | None = None
