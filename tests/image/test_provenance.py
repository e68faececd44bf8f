"""The provenance of an image: SLSA v1, with the commit and both bases by digest."""

import pytest

from tests.image.containerfile import CONTAINERFILE
from workflow.provenance import predicate
from workflow.sbom import bases

RUN = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "owner/connector",
    "GITHUB_WORKFLOW_REF": "owner/connector/.github/workflows/image.yml@refs/heads/main",
    "GITHUB_REF": "refs/heads/main",
    "GITHUB_SHA": 40 * "c",
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_REPOSITORY_ID": "1",
    "GITHUB_REPOSITORY_OWNER_ID": "2",
    "GITHUB_RUN_ID": "77",
    "GITHUB_RUN_ATTEMPT": "3",
    "RUNNER_ENVIRONMENT": "github-hosted",
}


def test_it_says_which_workflow_built_which_commit_on_which_bases() -> None:
    said = predicate(RUN, CONTAINERFILE)
    assert set(said) == {"buildDefinition", "runDetails"}
    definition = said["buildDefinition"]
    assert definition["externalParameters"] == {
        "workflow": {
            "ref": "refs/heads/main",
            "repository": "https://github.com/owner/connector",
            "path": ".github/workflows/image.yml",
        }
    }
    source, *images = definition["resolvedDependencies"]
    assert source == {
        "uri": "git+https://github.com/owner/connector@refs/heads/main",
        "digest": {"gitCommit": 40 * "c"},
    }
    assert [image["digest"] for image in images] == [{"sha256": base.digest} for base in bases(CONTAINERFILE)]
    assert said["runDetails"] == {
        "builder": {"id": "https://github.com/owner/connector/.github/workflows/image.yml@refs/heads/main"},
        "metadata": {"invocationId": "https://github.com/owner/connector/actions/runs/77/attempts/3"},
    }


@pytest.mark.parametrize("name", sorted(RUN))
def test_a_run_of_something_else_has_none(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        predicate({k: v for k, v in RUN.items() if k != name}, CONTAINERFILE)
