"""Where an image came from: the SLSA provenance predicate (v1) of a build by GitHub Actions, from its variables.

Build type: https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1. What it says is as good as the
signature on it, whose certificate names the same workflow, repository and commit.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow.sbom import CONTAINERFILE, bases

BUILD_TYPE = "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1"


def predicate(environment: Mapping[str, str], containerfile: str) -> dict[str, Any]:
    """Of the run whose variables these are. Raises KeyError where it is not one of GitHub Actions, ValueError."""
    server, repository = environment["GITHUB_SERVER_URL"], environment["GITHUB_REPOSITORY"]
    # owner/repository/.github/workflows/image.yml@refs/heads/main
    path, _, ref = environment["GITHUB_WORKFLOW_REF"].removeprefix(f"{repository}/").partition("@")
    run = f"{server}/{repository}/actions/runs/{environment['GITHUB_RUN_ID']}"
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"workflow": {"ref": ref, "repository": f"{server}/{repository}", "path": path}},
            "internalParameters": {
                "github": {
                    "event_name": environment["GITHUB_EVENT_NAME"],
                    "repository_id": environment["GITHUB_REPOSITORY_ID"],
                    "repository_owner_id": environment["GITHUB_REPOSITORY_OWNER_ID"],
                    "runner_environment": environment["RUNNER_ENVIRONMENT"],
                }
            },
            "resolvedDependencies": [
                {
                    "uri": f"git+{server}/{repository}@{environment['GITHUB_REF']}",
                    "digest": {"gitCommit": environment["GITHUB_SHA"]},
                },
                *(
                    {"uri": f"oci://{base.name}:{base.tag}", "digest": {"sha256": base.digest}}
                    for base in bases(containerfile)
                ),
            ],
        },
        "runDetails": {
            "builder": {"id": f"{server}/{environment['GITHUB_WORKFLOW_REF']}"},
            "metadata": {"invocationId": f"{run}/attempts/{environment['GITHUB_RUN_ATTEMPT']}"},
        },
    }


def main() -> int:
    json.dump(predicate(os.environ, Path(CONTAINERFILE).read_text("utf-8")), sys.stdout, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
