"""What a repository's pages set up, read: itself, its branches, their rules, its environments; deployments.

Owns that a deployment to an environment comes from its branches only.
"""

from typing import Any

from starlette.responses import Response

from emulators.github import bodies, errors
from emulators.github.git import HEADS
from emulators.github.requests import Call, answer
from emulators.github.site import Environment


class Settings:
    """The operations."""

    def __init__(self) -> None:
        self._deployments: dict[int, list[dict[str, Any]]] = {}

    def repository(self, call: Call) -> Response:
        call.require("metadata", "read")
        found = call.repository
        return answer(
            {
                "id": found.id,
                "name": found.name,
                "full_name": found.full_name,
                "private": True,
                "default_branch": found.default_branch,
                "owner": {"login": found.owner, "type": "Organization"},
            }
        )

    def branch(self, call: Call) -> Response:
        call.require("contents", "read")
        name = call.path("branch")
        sha = call.git.ref(f"{HEADS}{name}")
        if sha is None:
            raise errors.GitHubError(404, "Branch not found")
        return answer({"name": name, "commit": {"sha": sha}, "protected": name in call.repository.rules})

    def rules(self, call: Call) -> Response:
        """Get rules for a branch: of the active rulesets."""
        call.require("metadata", "read")
        rules = call.repository.rules.get(call.path("branch"))
        return call.page(list(rules.documents()) if rules else [])

    def protection(self, call: Call) -> Response:
        """Classic branch protection is not emulated: a branch has none."""
        call.require("administration", "read")
        raise errors.GitHubError(404, "Branch not protected")

    def environment(self, call: Call) -> Response:
        call.require("actions", "read")
        found = _environment(call)
        policy = None if found.branches is None else {"protected_branches": False, "custom_branch_policies": True}
        rules = [] if found.branches is None else [{"id": 1, "type": "branch_policy"}]
        return answer({"name": found.name, "deployment_branch_policy": policy, "protection_rules": rules})

    def branch_policies(self, call: Call) -> Response:
        call.require("actions", "read")
        found = _environment(call)
        if found.branches is None:
            raise errors.not_found()
        policies = [{"id": i + 1, "name": name, "type": "branch"} for i, name in enumerate(found.branches)]
        return answer({"total_count": len(policies), "branch_policies": policies})

    def deploy(self, call: Call) -> Response:
        call.require("deployments", "write")
        body = call.body(bodies.NewDeployment)
        environment = call.repository.environments.get(body.environment)
        if environment is not None and environment.branches is not None and body.ref not in environment.branches:
            message = (
                f'Branch "{body.ref}" is not allowed to deploy to {body.environment} due to environment protection'
            )
            raise errors.GitHubError(422, f"{message} rules.")
        sha = call.git.resolve(body.ref)
        if sha is None:
            raise errors.GitHubError(409, f"No ref found for: {body.ref}")
        document = {
            "id": call.hub.site.next_id(),
            "sha": sha,
            "ref": body.ref,
            "environment": body.environment,
            "creator": call.caller.account.document(),
            "created_at": call.hub.now(),
        }
        self._deployments.setdefault(call.repository.id, []).append(document)
        return answer(document, 201)

    def deployments(self, call: Call) -> Response:
        call.require("deployments", "read")
        query = call.query("per_page", "page", "environment")
        every = self._deployments.get(call.repository.id, [])
        found = [d for d in every if query.get("environment", d["environment"]) == d["environment"]]
        return call.page(list(reversed(found)), "environment")


def _environment(call: Call) -> Environment:
    found = call.repository.environments.get(call.path("environment"))
    if found is None:
        raise errors.not_found()
    return found
