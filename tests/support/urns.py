"""The URNs of one geography, as committed: `python -m tests.support.urns` writes them anew.

To the engine a resource of another URN is another resource: the old one is deleted. Owns the file and how a URN is
shown in it; geographies differ in nothing but their name, so one of them is enough.
"""

import re
from pathlib import Path

from tests.support.program import Emitted, sample

FILE = Path(__file__).parents[1] / "components" / "urns.txt"
GEOGRAPHY = "americas"
ADVICE = (
    "Resources have other URNs than tests/components/urns.txt says. To the engine, one that is gone is deleted and one "
    "that is new is created. Is it renamed or moved to another component, give it `aliases` of its old name or parent "
    "(pulumi.ResourceOptions), and see `pulumi preview` of a running stack change nothing. Then, or where it is meant "
    "as it is: .venv/bin/python -m tests.support.urns"
)


def urn_of(resource: Emitted) -> str:
    """The URN below the project; the digest of the document, which the secret's name carries, is left out."""
    path = resource.urn.split("::", 2)[2].replace("teams-ehr-connector:", "").replace("azure-native:", "")
    return re.sub(r"-[0-9a-f]{16}$", "-DIGEST", path)


def emitted_urns() -> set[str]:
    return {urn_of(r) for r in sample("local").resources if r.name.partition("-")[0] == GEOGRAPHY}


def committed_urns() -> set[str]:
    return set(FILE.read_text("utf-8").split())


if __name__ == "__main__":
    FILE.write_text("\n".join(sorted(emitted_urns())) + "\n", "utf-8")
