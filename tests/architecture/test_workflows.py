"""GitHub's workflow files: linted, pinned with their source, and no secret where unreviewed code could reach it."""

# pyright: reportUnknownMemberType=false
# (ruamel.yaml is typed in parts.)

import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from schemas.image import FILES, FOLDERS
from tests.support.samples import ROOT
from workflow.merge.withheld import BRANCHES
from workflow.promotion import lists
from workflow.promotion.remote import TOKEN_VARIABLE

FOLDER = ROOT / ".github" / "workflows"
NAMES = sorted(f.name for f in FOLDER.glob("*"))
SOURCE = re.compile(r" *# Read in ([\w.-]+/[\w.-]+), (\.github/[\w./-]+) at [0-9a-f]{12}")
PINNED = re.compile(r" *(?:- )?uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
SIGN_IN = {"deploy.yml", "image.yml", "throwaway.yml"}
TOOLS = Path(sysconfig.get_path("scripts"))


def lint(folder: Path) -> list[int]:
    """The exit codes of both tools, as `make workflows` runs them."""
    commands: list[list[str]] = [
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, folder.glob("*.yml"))],
        ["zizmor", "--offline", "--quiet", "--persona", "pedantic", str(folder)],
    ]
    return [subprocess.run([TOOLS / name, *rest], capture_output=True).returncode for name, *rest in commands]


def read(name: str) -> dict[str, Any]:
    return YAML(typ="safe").load((FOLDER / name).read_text("utf-8"))


def test_every_file_is_a_workflow_that_both_linters_accept() -> None:
    assert NAMES == [
        "deploy.yml",
        "gate.yml",
        "image.yml",
        "pull-request.yml",
        "revocations.yml",
        "throwaway.yml",
        "told.yml",
    ]
    assert lint(FOLDER) == [0, 0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2", "@v6"),
        ("        with:\n          persist-credentials: false\n", ""),
        ("permissions: {}", "permissions: write-all"),
        ("- run: make check", "- run: echo ${{ github.event.pull_request.title }}"),
        ("runs-on: ubuntu-24.04", "runs-in: ubuntu-24.04"),
    ],
)
def test_the_linters_find_what_makes_a_workflow_unsafe(tmp_path: Path, old: str, new: str) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    text = (FOLDER / "pull-request.yml").read_text("utf-8")
    assert old in text
    (folder / "pull-request.yml").write_text(text.replace(old, new), "utf-8")
    assert any(lint(folder))


@pytest.mark.parametrize("name", NAMES)
def test_every_action_is_pinned_by_commit_with_its_tag_and_where_that_was_read(name: str) -> None:
    lines = (FOLDER / name).read_text("utf-8").splitlines()
    for index, line in enumerate(lines):
        if "uses:" in line:
            assert PINNED.fullmatch(line), line
            before = [text for text in lines[max(0, index - 2) : index] if SOURCE.fullmatch(text)]
            assert before, f"{name}:{index + 1}: no source"


@pytest.mark.parametrize("name", NAMES)
def test_no_checkout_leaves_its_token_behind(name: str) -> None:
    for job in read(name)["jobs"].values():
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"] == {"persist-credentials": False}


@pytest.mark.parametrize("name", NAMES)
def test_no_value_of_an_event_is_part_of_a_script(name: str) -> None:
    for job in read(name)["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("name", NAMES)
def test_no_job_has_more_than_it_names(name: str) -> None:
    workflow = read(name)
    assert workflow["permissions"] == {}
    more = {key: {"id-token": "write"} for key in SIGN_IN} | {
        "revocations.yml": {"id-token": "write", "contents": "write"}
    }
    for job in workflow["jobs"].values():
        assert {k: v for k, v in job["permissions"].items() if v != "read"} == more.get(name, {})


def test_code_that_nobody_reviewed_gets_nothing() -> None:
    """What runs for a pull request from its own branch has no secret, no environment and no identity."""
    for name in ("pull-request.yml", "told.yml"):
        text = (FOLDER / name).read_text("utf-8")
        assert not re.search(r"secrets\.|environment:|id-token|github\.token|pull_request_target", text)


def test_the_gate_runs_the_default_branchs_code_only() -> None:
    gate = read("gate.yml")
    assert set(gate["on"]) == {"pull_request_target", "workflow_run", "schedule"}
    assert "ref:" not in (FOLDER / "gate.yml").read_text("utf-8")


def test_the_gate_judges_again_when_a_review_or_a_statement_comes() -> None:
    """Every open pull request, one run at a time: an older outcome is never posted after a newer one."""
    told, gate = read("told.yml"), read("gate.yml")
    assert gate["on"]["workflow_run"] == {"workflows": [told["name"]], "types": ["completed"]}
    assert told["on"]["pull_request_review"] == {"types": ["submitted", "edited", "dismissed"]}
    assert told["on"]["push"] == {"branches": [f"{branch}*" for branch in BRANCHES]}
    assert gate["concurrency"] == {"group": "gate", "cancel-in-progress": False}
    runs = "\n".join(step.get("run", "") for step in gate["jobs"]["check"]["steps"])
    assert "merge check" in runs
    assert "--pull-request" not in runs


def test_lists_of_revocations_are_renewed_well_before_they_expire() -> None:
    renewing = read("revocations.yml")
    assert set(renewing["on"]) == {"schedule", "workflow_dispatch"}
    (schedule,) = renewing["on"]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* \*", schedule["cron"]), "daily"
    assert lists.DAYS > 2
    (job,) = renewing["jobs"].values()
    assert job["environment"] == "revocations"
    assert set(job["strategy"]["matrix"]["stack"]) == {"prod", "test"}
    assert "secrets." not in str(job)
    assert job["steps"][-1]["run"] == '.venv/bin/connector revoke --renew --stack "$STACK"'
    assert list(job["steps"][-1]["env"]) == [TOKEN_VARIABLE]


def test_only_the_job_that_posts_has_the_gates_key() -> None:
    gate = read("gate.yml")["jobs"]
    with_secrets = [name for name, job in gate.items() if "secrets." in str(job)]
    assert with_secrets == ["post"]
    assert gate["post"]["environment"] == "merge-gate"
    assert "environment" not in gate["check"]
    assert "GITHUB_TOKEN" not in str(gate["post"])


def test_production_is_deployed_from_its_environment_without_a_secret() -> None:
    text = (FOLDER / "deploy.yml").read_text("utf-8")
    deploy = read("deploy.yml")
    assert "secrets." not in text
    assert set(deploy["on"]) == {"push", "workflow_dispatch"}
    assert deploy["on"]["push"] == {"branches": ["main"]}
    production = deploy["jobs"]["production"]
    assert production["environment"] == "production"
    assert production["needs"] == "test"
    runs = "\n".join(step.get("run", "") for step in production["steps"])
    brought, decided, updated = (runs.index(part) for part in ("merge bring", "check --promotion", '"$pulumi" up'))
    assert brought < decided < updated
    assert "--policy-pack policies" in runs
    assert "GITHUB_PATH" not in text


COPIES = """.venv/bin/python -m workflow.images "$STACK" > images
while read -r target digest; do
  tools/copy_image.sh "$REGISTRY" "$digest" "$SIGNER" "$target" < /dev/null
done < images
"""


@pytest.mark.parametrize(
    ("name", "job"), [("deploy.yml", "test"), ("deploy.yml", "production"), ("throwaway.yml", "deploy")]
)
def test_apps_are_updated_only_after_each_registry_has_the_signed_image(name: str, job: str) -> None:
    scripts = "".join(step.get("run", "") + "\n" for step in read(name)["jobs"][job]["steps"])
    before, after = scripts.split(COPIES)
    none, back = before.find('"teams-ehr-connector:image"] = "none"'), before.find("strenv(IMAGE)")
    updates = [found.start() for found in re.finditer(re.escape('"$pulumi" up'), before)]
    assert all(0 <= none < update < back for update in updates), "an update before the copy makes no app"
    assert '"$pulumi" up' in after


@pytest.mark.parametrize("name", sorted(SIGN_IN))
def test_who_signs_in_to_azure_does_so_in_an_environment_without_a_secret(name: str) -> None:
    assert "secrets." not in (FOLDER / name).read_text("utf-8")
    for job in read(name)["jobs"].values():
        logins = [step["with"] for step in job["steps"] if step.get("uses", "").startswith("azure/login@")]
        assert len(logins) == 1
        assert job["environment"] in {"image", "test", "production", "throwaway"}
        assert all(value is True or value.startswith("${{ vars.") for value in logins[0].values())


def steps_of(job: dict[str, Any]) -> list[str]:
    """What a job does, in order: each script, or the action's name."""
    return [step.get("run") or step["uses"].partition("@")[0] for step in job["steps"]]


def place(steps: list[str], part: str) -> int:
    """Of the one step that has this in it."""
    (found,) = (index for index, step in enumerate(steps) if part in step)
    return found


def test_an_image_is_pushed_only_after_it_was_built_twice_started_and_scanned() -> None:
    steps = steps_of(read("image.yml")["jobs"]["build"])
    order = [
        "--certificate-identity keyless@distroless",
        "buildah build --no-cache",
        "podman run",
        "make sbom",
        "podman push",
    ]
    places = [place(steps, part) for part in order]
    assert places == sorted(places)
    scans = [index for index, step in enumerate(steps) if step == "anchore/scan-action"]
    assert len(scans) == 2
    assert place(steps, "make sbom") < scans[0] < scans[1] < place(steps, "podman push")
    assert "--read-only --read-only-tmpfs=false --network none" in steps[place(steps, "podman run")]


def test_an_image_is_signed_and_attested_by_its_digest() -> None:
    steps = steps_of(read("image.yml")["jobs"]["build"])
    script = steps[place(steps, "podman push")]
    assert 'image="$repository@$(cat digest)"' in script
    signed = [line.split() for line in script.splitlines() if line.startswith("cosign ")]
    assert [line[-1] for line in signed] == ['"$image"'] * 3
    assert [line[line.index("--type") + 1] for line in signed if "--type" in line] == ["cyclonedx", "slsaprovenance1"]


def test_the_digest_that_was_built_is_the_one_that_is_copied_and_production_builds_none() -> None:
    workflow = read("image.yml")
    build, test, production = (workflow["jobs"][name] for name in ("build", "test", "production"))
    assert build["outputs"] == {"digest": "${{ steps.push.outputs.digest }}"}
    assert test["needs"] == "build"
    assert test["env"]["DIGEST"] == "${{ needs.build.outputs.digest }}"
    assert production["env"]["DIGEST"] == "${{ inputs.digest }}"
    assert (build["if"], production["if"]) == ("inputs.digest == ''", "inputs.digest != ''")
    for job in (test, production):
        copy = 'tools/copy_image.sh "$REGISTRY" "$DIGEST" "$SIGNER" "$REGISTRIES" > copied\n'
        assert copy in steps_of(job)[-1]
        assert "build" not in "".join(steps_of(job))
    signer = "${{ github.server_url }}/${{ github.repository }}/.github/workflows/image.yml@refs/heads/main"
    assert workflow["env"]["SIGNER"] == signer
    assert workflow["on"]["push"]["branches"] == ["main"]


def test_every_file_of_the_image_starts_a_build() -> None:
    paths = set(read("image.yml")["on"]["push"]["paths"])
    assert {*(f"{folder}/**" for folder in FOLDERS), *FILES, "Containerfile", ".dockerignore"} < paths


def test_a_throwaway_stack_is_deployed_by_hand_where_nothing_else_is_and_always_destroyed() -> None:
    throwaway = read("throwaway.yml")
    assert set(throwaway["on"]) == {"workflow_dispatch"}
    (job,) = throwaway["jobs"].values()
    assert job["environment"] == "throwaway"
    steps = steps_of(job)
    order = ['= "$SUBSCRIPTION"', "stack select", "openssl pkcs12", "strenv(IMAGE)", "latestReadyRevisionName"]
    places = [place(steps, words) for words in order]
    assert places == sorted(set(places))
    for step in (places[1], places[3]):
        assert "up --stack" in steps[step]
        assert steps[step].count("--policy-pack policies") == steps[step].count("up --stack")
    assert steps[place(steps, "--expect-no-changes")].count("--expect-no-changes") == 2
    last = job["steps"][-1]
    assert "destroy --stack" in last["run"]
    assert last["if"] == "always() && steps.deploy.outcome != 'skipped'"
