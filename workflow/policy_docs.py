"""Writes the tables in `docs/policies.md` from the pack and `frameworks.json`: `python -m workflow.policy_docs`.

Owns what stands between the marks; the words around it are written by hand. A test compares.
"""

from collections.abc import Iterator

from policies.frameworks import Framework, Frameworks, frameworks
from policies.pack import POLICIES
from workflow.project import SOURCE

FILE = SOURCE / "docs" / "policies.md"
BEGIN, END = "<!-- generated: python -m workflow.policy_docs -->\n", "<!-- end of what is generated -->\n"


def main() -> None:
    FILE.write_text(written(FILE.read_text("utf-8")), "utf-8")


def written(text: str) -> str:
    """The document with its generated part made anew. Raises ValueError where a mark is missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{FILE.name}: expected the marks {BEGIN.strip()} and {END.strip()}")
    return before + BEGIN + "\n" + "\n".join(_tables(frameworks())) + "\n" + END + after


def _tables(found: Frameworks) -> Iterator[str]:
    names = list(found.frameworks)
    yield f"| policy | what it asks | {' | '.join(names)} | examples |"
    yield "|---" * (len(names) + 3) + "|"
    for policy in POLICIES:
        entries = found.policies[policy.name]
        cells = ["none" if isinstance(e, str) else ", ".join(e) for e in (entries[n] for n in names)]
        link = f"[{policy.name}.yaml](../policies/examples/{policy.name}.yaml)"
        yield f"| `{policy.name}` | {policy.description} | {' | '.join(cells)} | {link} |"
    yield from _reasons(found)
    for name, framework in found.frameworks.items():
        yield from _controls(name, framework, found)


def _reasons(found: Frameworks) -> Iterator[str]:
    yield "\nWhy a policy has none:\n"
    for policy in POLICIES:
        for name, entry in found.policies[policy.name].items():
            if isinstance(entry, str):
                yield f"- `{policy.name}`, {name}: {entry}"


def _controls(name: str, framework: Framework, found: Frameworks) -> Iterator[str]:
    """The controls that some policy serves, with their titles."""
    serving = {policy: found.controls_of(policy).get(name, ()) for policy in found.policies}
    yield f"\n### {name}: {framework.title}\n"
    yield f"Source: {framework.source} (<{framework.url}>).\n"
    yield "| control | title | policies |"
    yield "|---|---|---|"
    for control, title in framework.controls.items():
        by = [f"`{policy}`" for policy, controls in serving.items() if control in controls]
        if by:
            yield f"| {control} | {title} | {', '.join(by)} |"


if __name__ == "__main__":
    main()
