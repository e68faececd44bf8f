"""Emitted resources are as Azure's definitions have them; the committed extract is what the definitions say.

The first holds everywhere. The second needs the folder of `make fidelity` (ARM_TYPES): where it is absent, it is
skipped and says so.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from emulators.azure.definitions.extract import extract, text_of
from emulators.azure.definitions.reading import TYPES_FILE, committed
from tests import fidelity
from tests.support.program import Emitted, sample
from tests.support.samples import ROOT

FOLDER = Path(os.environ.get("ARM_TYPES") or ROOT.parent / "shared" / "arm-types")


@pytest.fixture(scope="module")
def checked() -> fidelity.Fidelity:
    return fidelity.checked(committed())


def test_every_emitted_resource_is_as_azure_defines_it(checked: fidelity.Fidelity) -> None:
    assert checked.refused() == []
    assert checked.instances.keys() == fidelity.COMMITTED.keys()


def test_the_table_has_a_line_for_each_type_with_what_was_checked(checked: fidelity.Fidelity) -> None:
    head, *lines, total = checked.table().splitlines()
    assert head.split() == ["type", "API", "version", "instances", "properties"]
    assert {f"azure-native:{line.split()[0]}": line.split()[1] for line in lines} == fidelity.COMMITTED
    assert all(int(count) > 0 for line in lines for count in line.split()[2:])
    assert total.startswith(f"{len(lines)} of {len(lines)} types")


@pytest.mark.skipif(
    not FOLDER.is_dir(), reason="fidelity NOT CHECKED: Azure's definitions are absent; see make fidelity"
)
def test_the_committed_extract_is_what_the_folder_of_definitions_says() -> None:
    assert text_of(extract(FOLDER, fidelity.DEFINITIONS)) == TYPES_FILE.read_text()


def test_without_the_folder_nothing_is_checked_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fidelity.main(["--types", str(tmp_path / "absent")]) == 2
    assert fidelity.main(["--types", str(tmp_path)]) == 2
    absent, lacking = [text for text in capsys.readouterr().err.split("NOT CHECKED: ") if text]
    assert "Set ARM_TYPES to `generated` of a clone of https://github.com/Azure/bicep-types-az" in absent
    assert "has no definition of" in lacking


def vault() -> Emitted:
    return sample("local").one("azure-native:keyvault:Vault", name="emea-vault")


def seen(emitted: Emitted) -> list[str]:
    found = fidelity.Fidelity()
    found.see(committed(), "local", emitted)
    return [f"{resource}: {violation}" for resource, violation in found.violations]


def test_a_violation_names_resource_path_expected_and_got() -> None:
    properties = vault().inputs["properties"] | {"tenantId": "contoso"}
    pattern = "^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"
    violation = f'properties.tenantId: expected what matches {pattern}, got "contoso"'
    assert f"local: keyvault:Vault emea-vault: {violation}" in seen(changed(vault(), properties=properties))


def test_a_type_without_a_row_is_a_violation() -> None:
    (line,) = seen(changed(vault(), type_="azure-native:keyvault:ManagedHsm"))
    assert "expected a row of emulators/azure/arm.py, got" in line


def test_a_committed_type_that_nothing_emits_is_told() -> None:
    assert len(fidelity.Fidelity().refused()) == len(fidelity.COMMITTED)


def changed(emitted: Emitted, *, type_: str | None = None, **inputs: object) -> Emitted:
    return replace(emitted, type=type_ or emitted.type, inputs=emitted.inputs | inputs)
