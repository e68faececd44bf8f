"""The preview's workspace: code from the base revision's checkout, data from the head, and nothing else of the head."""

import json
from pathlib import Path
from typing import Never

import pytest

from tests.support.pull_requests import NEW, PRODUCTION_FILE, Scene, accepted_scene
from tests.support.samples import ROOT
from workflow.errors import EngineFailed
from workflow.merge import preview as previewing
from workflow.merge.preview import preview, workspace
from workflow.merge.reasons import GateCode
from workflow.project import Project

EVIL = b"raise SystemExit('the head ran')\n"


def project(folder: Path) -> Project:
    """A checkout of the base revision."""
    for name in ("__main__.py", "Pulumi.yaml", "Pulumi.local.yaml", "Pulumi.local-prod.yaml", "policies"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "organizations").symlink_to(ROOT / "organizations")
    (folder / ".local").mkdir()
    (folder / ".local" / "secret").write_text("x")
    return Project(folder, folder / ".local")


def head(scene: Scene) -> Scene:
    return scene.edit(
        {
            "__main__.py": EVIL,
            "policies/__main__.py": EVIL,
            "sitecustomize.py": EVIL,
            "organizations/evil.py": EVIL,
            "approvals/evil.py": EVIL,
            "organizations/link.yaml": (0o120000, b"/etc/passwd"),
            "Pulumi.yaml": b"runtime: evil\n",
        }
    )


def test_code_is_the_bases_and_data_the_heads(tmp_path: Path) -> None:
    scene = head(accepted_scene())
    _, revision, _ = scene.revisions()
    with workspace(project(tmp_path), revision, "local-prod") as root:
        for name in ("__main__.py", "Pulumi.yaml", "policies"):
            assert (root / name).resolve() == ROOT / name
        assert (root / NEW).read_bytes() == scene.head[NEW]
        names = {p.relative_to(root).as_posix() for p in root.rglob("*") if not p.is_symlink() and p.is_file()}
        assert all(n.endswith((".yaml", ".json")) for n in names), names
        assert "organizations/link.yaml" not in names
        assert not (root / "sitecustomize.py").exists()
        assert not (root / ".local").exists()
    assert not root.exists()


@pytest.mark.parametrize(
    "line", ["environment:\n  - elsewhere\n", "secretsprovider: azurekeyvault://elsewhere.example.org/keys/x\n"]
)
def test_what_a_stacks_file_tells_the_engine_is_left_out(tmp_path: Path, line: str) -> None:
    scene = accepted_scene().text(
        PRODUCTION_FILE, ("config:\n", f"{line}config:\n  azure-native:tenantId: elsewhere\n")
    )
    _, revision, _ = scene.revisions()
    with workspace(project(tmp_path), revision, "local-prod") as root:
        document = json.loads((root / PRODUCTION_FILE).read_text())
    assert set(document) == {"config", "encryptionsalt"}
    assert all(key.startswith("teams-ehr-connector:") for key in document["config"])
    assert "elsewhere" not in json.dumps(document)


class RefusingEngine:
    """An engine whose program refuses the configuration."""

    def __init__(self, *_: object) -> None:
        pass

    def prepare(self) -> None:
        pass

    def run(self, command: str, *_: str) -> Never:
        raise EngineFailed(command, 255, "Previewing update (local-prod)\n  error: location: expected a region\n")


@pytest.mark.rule(GateCode.PREVIEW_FAILED)
def test_a_preview_that_fails_keeps_the_pull_request_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previewing, "Engine", RefusingEngine)
    _, revision, _ = accepted_scene().revisions()
    said, finding = preview(project(tmp_path), revision, "local-prod", lambda _: None)
    assert finding is not None
    assert (finding.code, finding.where) == (GateCode.PREVIEW_FAILED, "local-prod")
    assert finding.got == "error: location: expected a region"
    assert said.startswith("Previewing update")
