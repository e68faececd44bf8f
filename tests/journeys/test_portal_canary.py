# pyright: reportPrivateUsage=false
"""What people show to the portal stays with them: of an approval and an edit only account ids are kept or published."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from dulwich.objects import Blob, Commit, Tag, Tree
from dulwich.repo import Repo

from schemas.stack_config import EhrConnection, Organization
from schemas.vocabulary import Stage
from tests.journeys.test_canary import dumps
from tests.support.canaries import forms, hits, hits_in_files
from tests.support.stack import TestStack
from workflow.browser import Browser
from workflow.portal_people import Administrator, Approver

ORGANIZATION = "rheinland"
PUBLISHED_SECONDS = 60.0
SECRET_PARAMETERS = frozenset({"code", "state", "nonce", "token", "code_challenge", "client_info", "session_state"})


@dataclass
class Shown:
    """What passed through two people's browsers, and must not be found again."""

    secrets: set[str] = field(default_factory=set[str])
    personal: set[str] = field(default_factory=set[str])
    branch: str = ""

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
def shown(stack: TestStack) -> Shown:
    """An approval and a proposed edit, by people whose every secret is remembered."""
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
        found.personal |= {person.account.display_name, person.account.user_principal_name, person.account.password}
    found.personal |= {ehr.users[0].id, ehr.users[0].name}

    async def act() -> None:
        await approver.sign_in()
        await approver.decide(test.id, ehr, "approve")
        await administrator.sign_in()
        fields = {"integrationRecordIds.patient": "5399"}
        found.branch = await administrator.propose(organization.id, production.id, fields)
        for person in people:
            await person.browser.close()

    asyncio.run(act())
    return found


def objects(stack: TestStack) -> list[tuple[str, bytes]]:
    """Every object of the repository: of statements and other files, of commits; a blob by the path that it has."""
    found: list[tuple[str, bytes]] = []
    with Repo(str(stack.state / "repository.git")) as repo:
        paths: dict[bytes, str] = {}
        trees = [cast("Commit", repo[ref]).tree for ref in repo.refs.as_dict().values()]
        for tree in trees:
            for entry in repo.object_store.iter_tree_contents(tree):
                paths[entry.sha] = entry.path.decode()
        for sha in repo.object_store:
            thing = repo[sha]
            if isinstance(thing, Blob):
                found.append((paths.get(sha, "a blob without a path"), thing.data))
            elif isinstance(thing, Commit | Tag | Tree):
                found.append((f"{thing.type_name.decode()} {sha.decode()}", thing.as_raw_string()))
    return found


def statements(stack: TestStack) -> Iterator[tuple[str, bytes]]:
    return ((path, data) for path, data in objects(stack) if path.startswith("approvals/") and path.endswith(".json"))


def logs(stack: TestStack) -> list[Path]:
    """Of the image's own processes; what the emulated services write down is theirs."""
    folder = stack.state / "supervisor" / "logs"
    found = [f for f in folder.iterdir() if f.name.startswith(("application-", "worker-", "portal-"))]
    assert any(f.name.startswith("portal-") and f.stat().st_size for f in found)
    return found


def wanted(values: set[str]) -> dict[str, bytes]:
    return {f"{value[:6]}…, {form}": needle for value in values for form, needle in forms(value).items()}


def published(stack: TestStack, connection: str) -> list[bytes]:
    """The approvals of the connection in the repository, once the new one is there."""
    deadline = time.monotonic() + PUBLISHED_SECONDS
    while True:
        found = [d for p, d in statements(stack) if f"/{connection}/approval-000002-approve" in p]
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def test_the_approval_and_the_edit_arrived(stack: TestStack, shown: Shown) -> None:
    """Otherwise the searches below would prove nothing."""
    _, test, _ = of_the_stack(stack)
    assert len(shown.secrets) > 20
    assert published(stack, test.id)
    with Repo(str(stack.state / "repository.git")) as repo:
        assert f"refs/heads/{shown.branch}".encode() in repo.refs.as_dict()
    assert any(data.count(b"Connector-Requester") for name, data in objects(stack) if name.startswith("commit"))


def test_no_secret_is_in_the_repository_the_logs_or_a_database(stack: TestStack, shown: Shown) -> None:
    needles = wanted(shown.secrets)
    assert [f"{name}: {hit}" for name, data in objects(stack) for hit in hits(data, needles)] == []
    assert hits_in_files(logs(stack), needles) == []
    assert [f"{name}: {hit}" for name, data in dumps(stack).items() for hit in hits(data, needles)] == []


def test_no_name_or_address_is_in_statements_commits_logs_or_databases(stack: TestStack, shown: Shown) -> None:
    """Names stand in the configuration alone: who approved and who asked are accounts by tenant and object id."""
    needles = wanted(shown.personal)
    kept = [(n, d) for n, d in objects(stack) if n.startswith(("commit ", "approvals/"))]
    assert [f"{name}: {hit}" for name, data in kept for hit in hits(data, needles)] == []
    assert hits_in_files(logs(stack), needles) == []
    assert [f"{name}: {hit}" for name, data in dumps(stack).items() for hit in hits(data, needles)] == []


def test_a_secret_and_a_name_written_into_a_log_are_found(stack: TestStack, shown: Shown, tmp_path: Path) -> None:
    copy = tmp_path / "portal-test.log"
    for value in (sorted(shown.secrets)[0], "Ansel Analyst"):
        copy.write_bytes(logs(stack)[0].read_bytes() + b'{"event": "' + value.encode() + b'"}\n')
        assert hits_in_files([copy], wanted({value}))
