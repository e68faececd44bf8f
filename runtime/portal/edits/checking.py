"""What is wrong with an edit, by field: as `connector check` says it, with the same models, schemas and rules.

Two looks: at one organisation among the deployed ones, quick enough for every key that is pressed; and at all files of
the stack as they would be, before anything is proposed.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (Values of YAML are of any type until the models have seen them.)

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas import fit, rules
from schemas.json_schema import organization_validator, stack_validator
from schemas.loading import load_stack
from schemas.problems import Path, Problem, Severity, path_text
from schemas.stack_config import Organization, StackConfig

_AT: Path = ("organizations", 0)


@dataclass(frozen=True)
class FieldProblem:
    """A problem at a field of the form: "" is the form as a whole."""

    field: str
    message: str
    code: str
    severity: Severity = Severity.ERROR

    def document(self) -> dict[str, str]:
        return {"field": self.field, "message": self.message, "code": self.code, "severity": str(self.severity)}


def check_organization(
    values: Mapping[str, Any], organization: Mapping[str, Any], connection_id: str, others: Sequence[Organization]
) -> list[FieldProblem]:
    """Problems of one connection, by the stack's own values and among the organisations that are deployed."""
    data = {**values, "organizations": [organization]}
    prefix = _prefix(organization, connection_id)
    by_shape = [
        *fit.shape(stack_validator(), data, ()),
        *fit.shape(organization_validator(), organization, _AT),
    ]
    found: list[FieldProblem] = []
    broken: set[Path] = set()
    for misfit in fit.together(by_shape, fit.meaning(data)):
        broken.add(misfit.path)
        got = misfit.got or ("a value that is not shown" if fit.is_secret(misfit.path) else fit.got(data, misfit.path))
        found += _at(misfit.path, prefix, misfit.code, misfit.expected, got, Severity.ERROR)
    salvaged = fit.salvage_stack(data, broken)
    among = (*others, *salvaged.organizations)  # this one last: of two, the later is told
    for v in rules.violations(salvaged.model_copy(update={"organizations": among})):
        path = (*_AT, *v.path[2:]) if v.path[:2] == ("organizations", len(others)) else ()
        if path and not any(path[: len(b)] == b or b[: len(path)] == path for b in broken):
            found += _at(path, prefix, v.code, v.expected, v.got, v.severity)
    return list(dict.fromkeys(found))


def check_stack(
    stack_file: str, texts: Mapping[str, str], index: int, organization: Mapping[str, Any], connection_id: str
) -> tuple[StackConfig | None, list[FieldProblem]]:
    """The whole stack as it would be; problems elsewhere than in the connection are told with their place."""

    def read(name: str) -> str:
        if name not in texts:
            raise FileNotFoundError(2, "no such file")
        return texts[name]

    loaded = load_stack(stack_file, read)
    prefix = path_text(("organizations", index, *_prefix(organization, connection_id)[2:]))
    return loaded.stack, [_of_problem(p, prefix) for p in loaded.problems if p in loaded.errors or _is_in(p, prefix)]


def errors(problems: Iterable[FieldProblem]) -> list[FieldProblem]:
    return [p for p in problems if p.severity is Severity.ERROR]


def by_field(problems: Iterable[FieldProblem]) -> dict[str, list[FieldProblem]]:
    found: dict[str, list[FieldProblem]] = {}
    for problem in problems:
        found.setdefault(problem.field, []).append(problem)
    return found


def _prefix(organization: Mapping[str, Any], connection_id: str) -> Path:
    connections = organization.get("connections")
    listed = connections if isinstance(connections, list) else []
    named = [n for n, c in enumerate(listed) if isinstance(c, dict) and c.get("id", "") == connection_id]
    return (*_AT, "connections", named[-1] if named else -1)  # a new one stands last, behind one of the same id


def _at(path: Path, prefix: Path, code: str, expected: str, got: str, severity: Severity) -> list[FieldProblem]:
    if path[: len(prefix)] == prefix:
        return [FieldProblem(_field(path[len(prefix) :]), _words(code, expected, got), code, severity)]
    if path[:2] == _AT and path[2:] in (("id",), ("name",)):
        return [FieldProblem(f"organization.{path[2]}", _words(code, expected, got), code, severity)]
    if path[:2] == _AT and severity is Severity.ERROR:
        return [FieldProblem("", f"{path_text(path[2:])}: {_words(code, expected, got)}", code, severity)]
    return []


def _field(path: Path) -> str:
    """The field of the form: a list is one field, an approver's tenant is the approver's."""
    texts = [p for p in path if isinstance(p, str)]
    return "approver" if texts == ["approver", "tenantId"] else ".".join(texts)


def _of_problem(problem: Problem, prefix: str) -> FieldProblem:
    words = _words(problem.code, problem.expected, problem.got)
    if _is_in(problem, prefix):
        inside = problem.path[len(prefix) :].lstrip(".")
        texts: list[str | int] = [part.partition("[")[0] for part in inside.split(".") if part]
        return FieldProblem(_field(tuple(texts)), words, problem.code, problem.severity)
    return FieldProblem("", f"{problem.file}, line {problem.line}: {words}", problem.code, problem.severity)


def _is_in(problem: Problem, prefix: str) -> bool:
    return problem.path == prefix or problem.path.startswith(f"{prefix}.")


def _words(code: str, expected: str, got: str) -> str:
    return "This is needed." if code == "missing" else f"Expected {expected}, got {got}."
