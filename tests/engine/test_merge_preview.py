"""The gate's preview under the real engine: the base's program takes the head's configuration, or says why not."""

from pathlib import Path

import pytest

from tests.support.pull_requests import PRODUCTION_FILE, accepted_scene
from tests.support.samples import ROOT
from workflow.merge.preview import preview
from workflow.merge.reasons import GateCode
from workflow.project import Project

EVIL = b"raise SystemExit('the head ran')\n"


def test_the_bases_program_previews_the_heads_data_without_credentials_and_without_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "nobody-may-see-this")
    scene = accepted_scene().edit({"__main__.py": EVIL, "components/__init__.py": EVIL, "policies/__main__.py": EVIL})
    _, head, _ = scene.revisions()
    text, finding = preview(Project(ROOT, tmp_path), head, "local-prod", lambda _: None)
    assert finding is None, text
    assert "azure-native:app:ContainerApp" in text
    assert "the head ran" not in text
    assert "nobody-may-see-this" not in text


def test_a_configuration_that_the_program_refuses_keeps_the_pull_request_back(tmp_path: Path) -> None:
    scene = accepted_scene().text(PRODUCTION_FILE, ("location: eastus2", "location: moon"))
    _, head, _ = scene.revisions()
    text, finding = preview(Project(ROOT, tmp_path), head, "local-prod", lambda _: None)
    assert finding is not None
    assert (finding.code, finding.where) == (GateCode.PREVIEW_FAILED, "local-prod")
    assert "location" in text
