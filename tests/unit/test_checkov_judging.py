"""What an independent rule set finds fails without an exception, and an exception fails without what it is for."""

from dataclasses import replace
from typing import Any

import pytest

from tests.checkov.judging import EXCEPTIONS, Checked, Exception_, NotChecked, exceptions, judged, read_report

PASSED = Checked("CKV_1", "Ensure one", "Microsoft.KeyVault/vaults.kv-a", passed=True)
FAILED = Checked("CKV_2", "Ensure two", "Microsoft.KeyVault/vaults.kv-a", passed=False)
EXCEPTION = Exception_("CKV_2", "Microsoft.KeyVault/vaults.*", "it is so")


def test_a_failed_check_with_an_exception_is_told_with_its_reason_and_not_refused() -> None:
    outcome = judged([PASSED, FAILED], [EXCEPTION])
    assert outcome.refused == []
    assert "excepted: CKV_2 for Microsoft.KeyVault/vaults.*: it is so" in outcome.table


@pytest.mark.parametrize(
    "exception",
    [
        replace(EXCEPTION, check="CKV_3"),
        replace(EXCEPTION, resources="Microsoft.Storage/*"),
        replace(EXCEPTION, resources="Microsoft.KeyVault/vaults.kv-b"),
    ],
)
def test_a_failed_check_without_one_is_refused_and_so_is_the_exception_that_matches_nothing(
    exception: Exception_,
) -> None:
    refused = judged([PASSED, FAILED], [exception]).refused
    assert refused == [
        "Microsoft.KeyVault/vaults.kv-a: CKV_2: Ensure two",
        f"the exception of {exception.check} for {exception.resources} matches nothing any more: take it away",
    ]


def test_an_exception_of_a_check_that_passes_is_refused() -> None:
    assert judged([PASSED], [replace(EXCEPTION, check="CKV_1")]).refused != []


def test_an_exception_without_a_reason_is_refused() -> None:
    assert judged([FAILED], [replace(EXCEPTION, reason=" ")]).refused == [
        "the exception of CKV_2 for Microsoft.KeyVault/vaults.* has no reason"
    ]


def report(**changes: Any) -> dict[str, Any]:
    def entry(of: Checked) -> dict[str, str]:
        return {"check_id": of.check, "check_name": of.says, "resource": of.resource}

    return {
        "summary": {"parsing_errors": 0, "resource_count": 7, **changes.get("summary", {})},
        "results": {
            "passed_checks": changes.get("passed", [entry(PASSED)]),
            "failed_checks": [entry(FAILED)],
            "skipped_checks": changes.get("skipped", []),
        },
    }


def test_a_report_says_what_was_checked() -> None:
    assert read_report(report(), 7) == [PASSED, FAILED]


@pytest.mark.parametrize(
    "changes",
    [
        {"summary": {"resource_count": 6}},
        {"summary": {"parsing_errors": 1}},
        {"passed": []},
        {"skipped": [{"check_id": "CKV_9"}]},
    ],
)
def test_a_report_of_less_than_everything_is_no_report(changes: dict[str, Any]) -> None:
    with pytest.raises(NotChecked):
        read_report(report(**changes), 7)


def test_a_report_of_nothing_is_no_report() -> None:
    with pytest.raises(NotChecked):
        read_report({"passed": 0, "failed": 0, "resource_count": 0}, 7)


def test_each_exception_is_of_one_check_and_gives_a_sentence() -> None:
    ours = exceptions(EXCEPTIONS.read_text("utf-8"))
    assert len({(e.check, e.resources) for e in ours}) == len(ours)
    assert [e.check for e in ours if len(e.reason) < 40 or not e.reason.endswith(".")] == []
    assert [e.check for e in ours if e.resources.partition(".")[0] != "Microsoft"] == []
