"""The gate's preview of the sample's production on Azure: nobody signs in; that nothing is approved yet is told."""

from pathlib import Path

import pytest

from tests.support.pull_requests import Scene, Step, Tree
from tests.support.samples import ROOT, organization_files, stack_files
from workflow.merge.preview import preview
from workflow.project import Project


def test_production_on_azure_is_previewed_without_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ARM_CLIENT_ID", "ARM_TENANT_ID", "ARM_USE_OIDC", "AZURE_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(tmp_path / "nobody-is-logged-in"))
    files: Tree = {file: (ROOT / file).read_bytes() for file in (*stack_files(), *organization_files())}
    _, head, _ = Scene(files, (Step({**files, "README.md": b"A change\n"}),)).revisions()
    text, finding = preview(Project(ROOT, tmp_path), head, "prod", lambda _: None)
    assert finding is None, text
    assert text.count("azure-native:app:ContainerApp ") >= 4, "application and worker of each geography"
    assert "would be refused" in text
    assert "[approval-missing]" in text
