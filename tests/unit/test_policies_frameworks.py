"""Each policy says which controls it serves, from published lists, and the document says the same."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from policies.frameworks import FILE, Frameworks, frameworks
from policies.pack import POLICIES
from workflow import policy_docs


def test_every_policy_has_an_entry_for_each_framework_and_no_other_has() -> None:
    assert set(frameworks().policies) == {p.name for p in POLICIES}
    assert set(frameworks().frameworks) == {"HIPAA", "HITRUST", "MCSB"}


def test_every_framework_has_a_source_and_an_address() -> None:
    for framework in frameworks().frameworks.values():
        assert len(framework.source) > 20
        assert framework.url.startswith("https://")


@pytest.mark.parametrize("entry", [["NS-99"], [], ""])
def test_a_control_without_a_title_and_an_empty_reason_are_refused(entry: object) -> None:
    document: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    document["policies"]["tags"]["MCSB"] = entry
    with pytest.raises(ValidationError, match="tags: MCSB: expected known controls or a reason"):
        Frameworks.model_validate(document)


def test_a_framework_that_is_left_out_is_refused() -> None:
    document: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    del document["policies"]["tags"]["HITRUST"]
    with pytest.raises(ValidationError, match="tags: expected an entry for each of HIPAA, HITRUST, MCSB"):
        Frameworks.model_validate(document)


def test_the_document_is_what_the_pack_and_its_frameworks_say() -> None:
    text = policy_docs.FILE.read_text("utf-8")
    assert policy_docs.written(text) == text, "run: python -m workflow.policy_docs"


def test_a_document_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the marks"):
        policy_docs.written("# Policies\n")
