# pyright: reportPrivateUsage=false
"""What people show to the portal, and servers to one another, stays there: only account ids are kept or published.

Acts out an approval, an edit, and what operators do around them; then searches every place that keeps or publishes
something for every credential and private key of the stack, and for who these people are.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from dulwich.objects import Blob, Commit
from dulwich.repo import Repo

from schemas.stack_config import EhrConnection, Organization
from schemas.vocabulary import Stage
from tests.journeys.test_canary import dumps
from tests.support.canaries import forms, hits
from tests.support.needles import Needles, confidences
from tests.support.stack import TestStack
from workflow.browser import Browser
from workflow.portal_people import Administrator, Approver

ORGANIZATION = "rheinland"
PUBLISHED_SECONDS = 60.0
SERVED_UNCHANGED = "lakeside"
"""Whose approvals are those of the project."""
UNAPPROVED = "prairie-production"
EDITED = "organizations/local-prod/prairie.yaml"
SECRET_PARAMETERS = frozenset({"code", "state", "nonce", "token", "code_challenge", "client_info", "session_state"})


@dataclass
class Shown:
    """What passed through two people's browsers, and must not be found again; and what was published meanwhile."""

    secrets: set[str] = field(default_factory=set[str])
    names: set[str] = field(default_factory=set[str])
    """How Microsoft and the configuration call the people."""
    accounts: set[str] = field(default_factory=set[str])
    """Their addresses and passwords at Microsoft."""
    ehr: set[str] = field(default_factory=set[str])
    """Who users of the EHR are there."""
    branch: str = ""
    exported: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    """Records, the audit and what commands printed, each by where it came from."""
    pages: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    """To print: they show the person's own name."""

    def watch(self, browser: Browser) -> None:
        async def request(sent: httpx.Request) -> None:
            body = await sent.aread()
            pairs = parse_qsl(urlsplit(str(sent.url)).query) + parse_qsl(body.decode("ascii", "ignore"))
            self.secrets |= {value for name, value in pairs if name in SECRET_PARAMETERS and len(value) >= 16}

        async def response(got: httpx.Response) -> None:
            for header in got.headers.get_list("set-cookie"):
                value = header.partition(";")[0].partition("=")[2]
                self.secrets |= {value} if len(value) >= 16 else set()

        browser._http.event_hooks = {"request": [request], "response": [response]}


def of_the_stack(stack: TestStack) -> tuple[Organization, EhrConnection, EhrConnection]:
    organization = next(o for o in stack.config.organizations if o.id == ORGANIZATION)
    by_stage = {c.stage: c for c in organization.connections}
    return organization, by_stage[Stage.TEST], by_stage[Stage.PRODUCTION]


@pytest.fixture(scope="module")
def shown(stack: TestStack, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """An approval and a proposed edit, by people whose every secret is remembered; then what operators do."""
    organization, test, production = of_the_stack(stack)
    host = stack.config.geographies[organization.geography].portal_host
    assert host is not None
    world, found = stack.world, Shown()
    ehr = next(e for e in world.ehrs if e.organization == ORGANIZATION)
    approver = Approver(host, test.approver, world.entra, stack.certificates)
    administrator = Administrator(host, organization.administrators[0], world.entra, stack.certificates)
    people = (approver, administrator)
    for person in people:
        found.watch(person.browser)
        found.names.add(person.account.display_name)
        found.accounts |= {person.account.user_principal_name, person.account.password}
    for user in ehr.users:
        found.ehr |= {user.id, user.name}

    async def act() -> None:
        await approver.sign_in()
        await approver.decide(test.id, ehr, "approve")
        for path, kept in (
            ("records.json", found.exported),
            ("records.csv", found.exported),
            ("records/print", found.pages),
        ):
            answer = await approver.browser._http.get(f"https://{host}/connections/{test.id}/{path}")
            assert answer.status_code == 200
            kept.append((path, answer.content))
        await administrator.sign_in()
        fields = {"integrationRecordIds.patient": "5399"}
        found.branch = await administrator.propose(organization.id, production.id, fields)
        for person in people:
            await person.browser.close()

    asyncio.run(act())
    operated(stack, found, test.id, tmp_path_factory.mktemp("exported") / "audit.jsonl")
    return found


def operated(stack: TestStack, found: Shown, connection: str, audit: Path) -> None:
    """What operators publish and export, with what each command printed."""

    def run(*arguments: str, code: int = 0) -> None:
        done = stack.connector(*arguments)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        found.exported.append((" ".join(arguments[:2]), (done.stdout + done.stderr).encode()))

    for command in ("explain", "records"):
        shape = ("--output", "json") if command == "explain" else ("--format", "json")
        run(command, connection, *shape)
        run(command, connection)
    run("check", "--promotion", "local", "local-prod", "--output", "json", code=1)  # one_person's edit is no copy
    run("promote", SERVED_UNCHANGED, "--output", "json")
    run("revoke", "--renew", "--stack", stack.name, "--output", "json")
    run("revoke", f"{SERVED_UNCHANGED}-production", "--reason", "A rehearsed emergency", "--output", "json")
    file = stack.root / EDITED
    before = file.read_text("utf-8")
    try:
        file.write_text(before.replace('provider: "5201"', 'provider: "5299"'), "utf-8")
        assert file.read_text("utf-8") != before
        waived = ("--waive", "configuration-changed", "--waive", "copy-differs")
        run("break-glass", UNAPPROVED, *waived, "--hours", "1", "--reason", "A rehearsed emergency")
        run("explain", UNAPPROVED, "--output", "json")
    finally:
        file.write_text(before, "utf-8")
    run("audit", "export", stack.name, "--geography", "emea", "--output", str(audit))
    found.exported.append(("audit.jsonl", audit.read_bytes()))


def objects(stack: TestStack) -> list[tuple[str, bytes]]:
    """Every object of the repository: of statements and other files, of commits; a blob by the path that it has."""
    found: list[tuple[str, bytes]] = []
    with Repo(str(stack.state / "repository.git")) as repo:
        paths: dict[bytes, str] = {}
        things = {sha: repo[sha] for sha in repo.object_store}
        for commit in (thing for thing in things.values() if isinstance(thing, Commit)):
            for entry in repo.object_store.iter_tree_contents(commit.tree):
                paths[entry.sha] = entry.path.decode()
        for sha, thing in things.items():
            name = paths[sha] if isinstance(thing, Blob) else f"{thing.type_name.decode()} {sha.decode()}"
            found.append((name, thing.as_raw_string()))
    return found


def statements(stack: TestStack) -> Iterator[tuple[str, bytes]]:
    return ((path, data) for path, data in objects(stack) if path.startswith("approvals/") and path.endswith(".json"))


def logs(stack: TestStack) -> list[tuple[str, bytes]]:
    """Standard output and error of every process of the stack."""
    found = [(f.name, f.read_bytes()) for f in (stack.state / "supervisor" / "logs").iterdir()]
    for name in ("application-", "worker-", "portal-", "entra", "graph", "ehr-", "supervisor"):
        assert any(n.startswith(name) and data for n, data in found), name
    return found


def of_the_image(found: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Of our own processes; what the emulated services write down of people is theirs."""
    return [(n, d) for n, d in found if n.startswith(("application-", "worker-", "portal-"))]


def folder(stack: TestStack, below: str, must: str) -> list[tuple[str, bytes]]:
    """The files below a folder of the state, of which one at least must be called so."""
    found = [(str(f.relative_to(stack.state)), f.read_bytes()) for f in (stack.state / below).rglob("*") if f.is_file()]
    assert any(must in name for name, _ in found), (below, must)
    return found


def blobs(stack: TestStack) -> list[tuple[str, bytes]]:
    """Lists of revocations and audit heads, as they are published."""
    return folder(stack, "azure/storage", "/revocations/")


def engine(stack: TestStack) -> list[tuple[str, bytes]]:
    """Pulumi's state, and what it asked Resource Manager for."""
    arm = [(name, (stack.state / "azure" / name).read_bytes()) for name in ("resources.json", "calls.jsonl")]
    return [*folder(stack, "pulumi", f"{stack.name}.json"), *arm]


def everywhere(stack: TestStack, shown: Shown) -> list[tuple[str, bytes]]:
    """Every place that keeps or publishes something, but for who it is about or whose it is."""
    with Repo(str(stack.state / "repository.git")) as repo:
        refs = b"\n".join(repo.refs.as_dict())
    return [
        ("names of branches", refs),
        *objects(stack),
        *logs(stack),
        *dumps(stack).items(),
        *blobs(stack),
        *engine(stack),
        *shown.exported,
        *shown.pages,
    ]


def of_people(values: set[str]) -> dict[str, bytes]:
    return {f"{value[:6]}…, {form}": needle for value in values for form, needle in forms(value).items()}


def published(stack: TestStack, connection: str) -> list[bytes]:
    """The approvals of the connection in the repository, once the new one is there."""
    deadline = time.monotonic() + PUBLISHED_SECONDS
    while True:
        found = [d for p, d in statements(stack) if f"/{connection}/approval-000002-approve" in p]
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def test_what_was_done_arrived(stack: TestStack, shown: Shown) -> None:
    """Otherwise the searches below would prove nothing."""
    _, test, _ = of_the_stack(stack)
    assert len(shown.secrets) > 20
    assert published(stack, test.id)
    with Repo(str(stack.state / "repository.git")) as repo:
        branches = [ref.decode().removeprefix("refs/heads/") for ref in repo.refs.as_dict()]
    assert shown.branch in branches
    for start in (
        f"promote/{SERVED_UNCHANGED}-",
        "connector/revocations-production-americas-",
        "connector/revocations-test-",
        f"connector/break-glass-{UNAPPROVED}-",
        "connector/statements-emea",
    ):
        assert [b for b in branches if b.startswith(start)], start
    assert any(data.count(b"Connector-Requester") for name, data in objects(stack) if name.startswith("commit"))
    assert [json.loads(line) for _, data in shown.exported if data.startswith(b'{"') for line in data.splitlines()]


def test_every_server_told_others_something_in_confidence(stack: TestStack, shown: Shown) -> None:
    assert shown.secrets
    found = confidences(stack.state)
    for whose, most in {
        "credentials of entra": 8,
        "credentials of rheinland": 4,
        "credentials of azure": 20,
        "secrets of the vaults": 12,
        "keys of the vaults": 9,
        "key files": 5,
        "files of secrets": 2,
    }.items():
        assert len(found[whose]) >= most, (whose, len(found[whose]))


def test_nothing_that_servers_or_browsers_told_in_confidence_is_anywhere(stack: TestStack, shown: Shown) -> None:
    needles = Needles({**confidences(stack.state), "browsers": {v.encode() for v in shown.secrets}})
    assert needles.count > 100
    assert needles.found_in(everywhere(stack, shown)) == []


def test_nobody_is_anywhere_but_in_the_configuration(stack: TestStack, shown: Shown) -> None:
    """Who approved and who asked are accounts by tenant and object id; names stand in the configuration alone."""
    wanted = of_people(shown.names | shown.accounts | shown.ehr)
    kept = [(n, d) for n, d in objects(stack) if n.startswith(("commit ", "tag ", "approvals/"))]
    kept += [*of_the_image(logs(stack)), *dumps(stack).items(), *blobs(stack), *shown.exported]
    assert [f"{name}: {hit}" for name, data in kept for hit in hits(data, wanted)] == []


def test_no_address_or_password_and_nobody_of_the_ehr_is_anywhere_at_all(stack: TestStack, shown: Shown) -> None:
    """Nor in the configuration, the engine's state or on a page."""
    wanted = of_people(shown.accounts | shown.ehr)
    kept = [*objects(stack), *of_the_image(logs(stack)), *dumps(stack).items(), *blobs(stack), *engine(stack)]
    kept += [*shown.exported, *shown.pages]
    assert [f"{name}: {hit}" for name, data in kept for hit in hits(data, wanted)] == []


def test_what_is_planted_in_a_copy_of_each_place_is_found(stack: TestStack, shown: Shown) -> None:
    """A credential between servers, one of a browser, and a person: one of each that was really there."""
    between = sorted(confidences(stack.state)["credentials of entra"], key=len)[-1]
    needles = Needles({"servers": [between], "browsers": {v.encode() for v in shown.secrets}})
    kinds = {
        "objects": objects(stack), "logs": logs(stack), "databases": [*dumps(stack).items()], "blobs": blobs(stack),
        "engine": engine(stack), "exported": shown.exported, "pages": shown.pages,
    }  # fmt: skip
    for kind, places in kinds.items():
        name, data = min(places, key=lambda place: len(place[1]) or 10**9)
        for value in (between, sorted(shown.secrets)[0].encode()):
            assert needles.found_in([(name, data + value)]), kind
        person = sorted(shown.names)[0]
        assert list(hits(data + person.encode(), of_people({person}))), kind
