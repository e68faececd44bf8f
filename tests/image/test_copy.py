"""tools/copy_image.sh, with stand-ins for cosign and az that keep what they were called with."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.samples import ROOT

SCRIPT = ROOT / "tools" / "copy_image.sh"
SUBSCRIPTION = "a3c1e5f0-7b42-4d9e-8c60-0d1f2e3a4b11"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-platform"
FROM = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/platform"
DIGEST = "sha256:" + 64 * "a"
SIGNER = "https://github.com/owner/connector/.github/workflows/image.yml@refs/heads/main"
REGISTRIES = f"{SUBSCRIPTION}/americas\n{SUBSCRIPTION}/emearegistry"


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    for name in ("cosign", "az"):
        tool = tmp_path / name
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >> "{tmp_path}/calls"\ncase "$*" in *"$FAILS"*) exit 1;; esac\n')
        tool.chmod(0o755)
    return tmp_path


def copy(
    bin_folder: Path, *arguments: str, fails: str = "nothing"
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """What came of it, and the calls of cosign and az in order."""
    environment = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "FAILS": fails}
    done = subprocess.run([SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=False)
    calls = bin_folder / "calls"
    return done, calls.read_text().splitlines() if calls.exists() else []


def test_the_same_digest_goes_to_each_registry_after_signature_and_attestations_were_verified(bin_folder: Path) -> None:
    done, calls = copy(bin_folder, FROM, DIGEST, SIGNER, REGISTRIES)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"americas.azurecr.io/teams-ehr-connector@{DIGEST}",
        f"emearegistry.azurecr.io/teams-ehr-connector@{DIGEST}",
    ]
    assert [" ".join(call.split()[:2]) for call in calls] == [
        "cosign verify",
        "cosign verify-attestation",
        "cosign verify-attestation",
        "az acr",
        "az acr",
    ]
    for call in calls[:3]:
        assert call.endswith(f" platform.azurecr.io/teams-ehr-connector@{DIGEST}")
        assert f"--certificate-identity {SIGNER} " in call
        assert "--certificate-oidc-issuer https://token.actions.githubusercontent.com " in call
    assert ["--type cyclonedx" in calls[1], "--type slsaprovenance1" in calls[2]] == [True, True]
    for call, name in zip(calls[3:], ("americas", "emearegistry"), strict=True):
        assert f"--subscription {SUBSCRIPTION} --name {name} --registry {FROM} " in call
        assert call.endswith(f" --source teams-ehr-connector@{DIGEST} --repository teams-ehr-connector")


@pytest.mark.parametrize("fails", ["cosign verify --", "--type cyclonedx", "--type slsaprovenance1"])
def test_nothing_is_copied_where_a_signature_or_an_attestation_is_missing(bin_folder: Path, fails: str) -> None:
    part = fails.removeprefix("cosign ")
    done, calls = copy(bin_folder, FROM, DIGEST, SIGNER, REGISTRIES, fails=part)
    assert done.returncode != 0
    assert not [call for call in calls if call.startswith("az ")]


def test_a_digest_that_the_platforms_registry_does_not_have_ends_it(bin_folder: Path) -> None:
    done, calls = copy(bin_folder, FROM, DIGEST, SIGNER, REGISTRIES, fails="--name americas")
    assert done.returncode != 0
    assert done.stdout == ""
    assert len([call for call in calls if call.startswith("az ")]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((FROM, "", SIGNER, REGISTRIES), "expected a digest (sha256:<64 hex digits>), got ''"),
        ((FROM, "latest", SIGNER, REGISTRIES), "expected a digest"),
        ((FROM, DIGEST[:-1], SIGNER, REGISTRIES), "expected a digest"),
        (("platform.azurecr.io", DIGEST, SIGNER, REGISTRIES), "expected the platform's registry by its resource id"),
        ((FROM, DIGEST, SIGNER, ""), "expected at least one registry"),
        ((FROM, DIGEST, SIGNER, "americas"), "expected each registry as 'subscription id/registry name'"),
        ((FROM, DIGEST, SIGNER), "usage: tools/copy_image.sh FROM DIGEST SIGNER REGISTRIES"),
    ],
)
def test_what_is_not_an_image_by_digest_and_registries_is_refused(
    bin_folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    done, calls = copy(bin_folder, *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert calls == []
