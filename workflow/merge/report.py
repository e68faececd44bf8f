"""The outcome of the gate: as lines for a log, as one JSON document, and as check runs.

The document is what the job without the gate's key hands to the job with it: plain values, made harmless when they
become Markdown here.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from schemas.promotion.decide import Decision
from schemas.promotion.telling import reasons_of, word
from workflow.merge.gate import Outcome
from workflow.merge.github import CheckRun
from workflow.merge.markdown import block, code, plain
from workflow.merge.protection import CHECK
from workflow.merge.reasons import ADVICE, Finding, GateCode

LONGEST_SUMMARY = 60_000
LONGEST_PREVIEW = 8_000
MOST_SHOWN = 50
FORM = 1

Document = dict[str, Any]


def document(outcome: Outcome, preview: str = "") -> Document:
    return {
        "form": FORM,
        "pullRequest": outcome.pull.number,
        "base": outcome.pull.base,
        "head": outcome.pull.head,
        "passes": outcome.passes,
        "findings": [_finding(f) for f in outcome.findings],
        "promotes": [
            _promoted(stack, decision, outcome.of_connection(decision.connection))
            for stack, decision in outcome.promoted()
        ],
        "preview": preview,
    }


def not_judged(number: int, base: str, head: str, finding: Finding) -> Document:
    """Of a pull request that could not be judged: what was said of it before says nothing now."""
    return {
        "form": FORM,
        "pullRequest": number,
        "base": base,
        "head": head,
        "passes": False,
        "findings": [_finding(finding)],
        "promotes": [],
        "preview": "",
    }


def _finding(finding: Finding) -> Document:
    return {"code": str(finding.code), "where": finding.where, "expected": finding.expected, "got": finding.got}


def _promoted(stack: str, decision: Decision, findings: tuple[Finding, ...]) -> Document:
    approval = decision.approval
    return {
        "stack": stack,
        "organization": decision.organization,
        "connection": decision.connection,
        "sha256": decision.sha256,
        "decision": word(decision),
        "reasons": [{"code": str(r.code), "message": r.message} for r in reasons_of(decision)],
        "findings": [str(f.code) for f in findings],
        "serial": approval.serial if approval else None,
        "approver": approval.approver.object_id if approval else None,
        "issued": approval.issued if approval else None,
        "expires": approval.expires if approval else None,
    }


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """For a log."""
    for one in report["promotes"]:
        yield f"{one['connection']} ({one['organization']}, stack {one['stack']}): {one['decision']}"
        for reason in one["reasons"]:
            yield f"  - {plain(reason['message'])} [{reason['code']}]"
    for finding in report["findings"]:
        where = f"{plain(finding['where'], 200)}: " if finding["where"] else ""
        yield f"{where}expected {plain(finding['expected'])}, got {plain(finding['got'])} [{finding['code']}]"
    advised = dict.fromkeys(f["code"] for f in report["findings"])
    for name in advised:
        yield f"  {name}: {ADVICE[GateCode(name)]}"
    state = "may be merged" if report["passes"] else f"may not be merged: {_counted(len(report['findings']))}"
    yield f"pull request {report['pullRequest']} {state}"


def check_runs(report: Mapping[str, Any]) -> list[CheckRun]:
    """One for the pull request, which the base branch requires, and one for each connection that it promotes."""
    findings = cast("list[Document]", report["findings"])
    title = "nothing keeps it back" if report["passes"] else _counted(len(findings))
    runs = [CheckRun(CHECK, bool(report["passes"]), title, _summary(report), str(report["base"]))]
    for one in cast("list[Document]", report["promotes"]):
        passes = one["decision"] == "approved" and not one["findings"]
        title = f"approved until {one['expires']}" if passes else "not approved"
        name = f"approval/{one['connection']}"
        runs.append(CheckRun(name, passes, title, _approval(one), str(report["base"])))
    return runs


def _summary(report: Mapping[str, Any]) -> str:
    findings = cast("list[Document]", report["findings"])
    parts = [f"Judged from the base revision {code(report['base'])}; the head is {code(report['head'])}.\n"]
    if findings:
        parts.append("| reason | where | expected | got |\n|---|---|---|---|")
        for f in findings[:MOST_SHOWN]:
            cells = (code(f["code"]), code(f["where"], 200), code(f["expected"], 300), code(f["got"], 300))
            parts.append(f"| {' | '.join(cells)} |")
        if len(findings) > MOST_SHOWN:
            parts.append(f"\nand {len(findings) - MOST_SHOWN} more.")
        parts.append("\nWhat to do:\n")
        parts += [f"- {code(name)}: {ADVICE[GateCode(name)]}" for name in dict.fromkeys(f["code"] for f in findings)]
    if report["promotes"]:
        parts.append("\n| promotes | organisation | stack | decision | digest |\n|---|---|---|---|---|")
        for one in report["promotes"]:
            names = ("connection", "organization", "stack", "decision", "sha256")
            parts.append(f"| {' | '.join(code(str(one[n])) for n in names)} |")
    if report["preview"]:
        parts.append(f"\nPreview, by the base revision's program:\n\n{block(report['preview'], LONGEST_PREVIEW)}")
    return "\n".join(parts)[:LONGEST_SUMMARY]


def _approval(one: Mapping[str, Any]) -> str:
    """The approver's signed approval, in words."""
    names = {"sha256": "digest", "serial": "serial", "approver": "approver", "issued": "issued", "expires": "expires"}
    parts = [f"- {label}: {code(str(one[name]))}" for name, label in names.items() if one[name] is not None]
    parts += [f"- {code(r['code'])}: {code(r['message'])}" for r in one["reasons"]]
    parts += [f"- kept back by {code(name)}" for name in one["findings"]]
    return "\n".join(parts)[:LONGEST_SUMMARY] or "There is no approval."


def _counted(number: int) -> str:
    return f"{number} reason{'' if number == 1 else 's'}"
