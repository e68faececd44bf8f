# pyright: reportPrivateUsage=false
"""Canary patients go through whole visits; then nothing of them is anywhere but with their own organisation's EHR."""

import asyncio
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from emulators.azure import layout
from emulators.azure.postgres import SUPERUSER
from emulators.world import Ehr
from tests.support.canaries import Canary, digests, forms, hits, hits_in_files, new_marker, planted, sought
from tests.support.stack import TestStack
from workflow.browser import Browser, Page
from workflow.ehr_log import EhrLog
from workflow.people import Patient, Provider
from workflow.visit import Plan, Record, drive, judge

ALLOWED = Path(__file__).with_name("database_columns.txt")
NOT_DRIVEN = "prairie"
"""The browser journeys need this hospital's providers new to Microsoft."""

COLUMNS = """
SELECT format('%s.%s.%s %s', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod))
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f', 'v') AND a.attnum > 0 AND NOT a.attisdropped
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1
"""
TABLES = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('information_schema', 'pg_toast') ORDER BY 1
"""


# --- the visits -----------------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What browsers asked the connector and Microsoft for, and what the connector's pages said."""

    urls: list[str] = field(default_factory=list[str])
    pages: list[bytes] = field(default_factory=list[bytes])

    def watch(self, browser: Browser, ehr: Ehr) -> None:
        own = {urlsplit(ehr.url).netloc}

        async def request(sent: httpx.Request) -> None:
            if sent.url.netloc.decode() not in own:
                self.urls.append(str(sent.url))

        async def response(got: httpx.Response) -> None:
            if got.url.netloc.decode() not in own and "event-stream" not in got.headers.get("content-type", ""):
                self.pages.append(await got.aread())

        browser._http.event_hooks = {"request": [request], "response": [response]}


class CanaryPatient(Patient):
    """Types a name of their own in front of Teams."""

    guest_name = ""

    async def join(self, page: Page) -> bool:
        act = self.browser.act

        async def named(url: str, fields: dict[str, str]) -> dict[str, object]:
            return await act(url, fields | ({"guest_name": self.guest_name} if "guest_name" in fields else {}))

        self.browser.act = named  # pyright: ignore[reportAttributeAccessIssue]
        return await super().join(page)


@dataclass
class Driven:
    stack: TestStack
    canaries: list[Canary]
    records: list[Record]
    seen: Seen
    dumps: dict[str, bytes]
    """Of each database while the visits were under way."""


async def visit(stack: TestStack, canary: Canary, seen: Seen, meanwhile: dict[str, bytes]) -> Record:
    config, world = stack.config, stack.world
    ehr = next(e for e in world.ehrs if e.organization == canary.organization)
    appointment = next(a for a in ehr.appointments if a.csn == canary.csn)
    user = next(u for u in ehr.users if u.id == appointment.provider)
    instance = next(e.instance for e in ehr.environments if e.stage is config.stage)
    connection = f"{canary.organization}-{config.stage}"
    provider = Provider(ehr, config.stage, user, world.entra, stack.certificates)
    patient = CanaryPatient(ehr, config.stage, canary.patient, stack.certificates)
    patient.guest_name = canary.guest_name
    for person in (provider, patient):
        seen.watch(person.browser, ehr)

    def tell(who: str, what: str) -> None:
        if who == "patient" and what == "is connected" and not meanwhile:
            meanwhile.update(dumps(stack))

    plan = Plan(canary.organization, connection, instance, canary.csn, patient_first=canary.number == 0)
    try:
        return await drive(plan, provider, patient, EhrLog(stack.state, canary.organization), tell)
    finally:
        await provider.browser.close()


@pytest.fixture(scope="module")
def driven(stack: TestStack) -> Driven:
    canaries = [c for c in planted(stack.world.ehrs) if c.organization != NOT_DRIVEN]
    seen, meanwhile = Seen(), dict[str, bytes]()

    async def all_of_them() -> list[Record]:
        return await asyncio.gather(*(visit(stack, c, seen, meanwhile) for c in canaries))

    records = asyncio.run(all_of_them())
    judge(records)
    return Driven(stack, canaries, records, seen, meanwhile)


# --- the databases --------------------------------------------------------------------------------------------------


@contextmanager
def administrator(folder: Path, database: str = "connector") -> Generator[psycopg.Connection[tuple[str]]]:
    port = (folder / "postmaster.pid").read_text().splitlines()[3]
    with layout.short_path(folder) as host:
        connection = psycopg.connect(host=host, port=port, user=SUPERUSER, dbname=database)
    try:
        yield connection
    finally:
        connection.rollback()
        connection.close()


def servers(stack: TestStack) -> list[Path]:
    return sorted(f.parent for f in (stack.state / "postgres").glob("*/postmaster.pid"))


def dump(connection: psycopg.Connection[tuple[str]]) -> bytes:
    """Every row of every table, the catalogue's too (it keeps statistics of values), as COPY writes them."""
    parts: list[bytes] = []
    for (table,) in connection.execute(TABLES).fetchall():
        with connection.cursor().copy(f"COPY (SELECT * FROM {table}) TO STDOUT".encode()) as rows:
            parts += [table.encode(), b"\n", *(bytes(part) for part in rows)]
    return b"".join(parts)


def dumps(stack: TestStack) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for folder in servers(stack):
        for database in ("connector", "postgres"):
            with administrator(folder, database) as connection:
                found[f"{folder.name}/{database}"] = dump(connection)
    return found


def columns(connection: psycopg.Connection[tuple[str]]) -> list[str]:
    return [line for (line,) in connection.execute(COLUMNS).fetchall()]


# --- found nowhere --------------------------------------------------------------------------------------------------


def test_the_canaries_went_through_every_geography_and_their_own_ehr_knows_them(driven: Driven) -> None:
    """Otherwise the searches below would prove nothing."""
    assert len(servers(driven.stack)) == 3
    assert len(driven.records) == 6
    for canary in driven.canaries:
        log = (driven.stack.state / "ehr" / canary.organization / "raw-requests.jsonl").read_bytes()
        assert canary.csn.encode() in log
        assert canary.patient.encode() in log
    graph = b"".join(f.read_bytes() for f in (driven.stack.state / "graph").rglob("*") if f.is_file())
    assert all(c.guest_name.encode() in graph for c in driven.canaries)


def test_no_row_of_any_database_holds_a_canary_during_visits_or_after(driven: Driven) -> None:
    wanted = sought(driven.canaries)
    for canary in driven.canaries:
        wanted |= {f"guest name, {form}": needle for form, needle in forms(canary.guest_name).items()}
    assert len(driven.dumps) == 6
    for content in (driven.dumps, dumps(driven.stack)):
        for name, data in content.items():
            assert b"connector.visit" in data or name.endswith("/postgres")
            assert [f"{name}: {hit}" for hit in hits(data, wanted)] == []


def test_every_column_of_the_databases_is_on_the_list(stack: TestStack) -> None:
    allowed = [line for line in ALLOWED.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    for folder in servers(stack):
        with administrator(folder) as connection:
            assert columns(connection) == allowed, folder.name


def test_no_file_of_ours_holds_a_canary(driven: Driven) -> None:
    """Logs, what Graph and Entra received and keep, the cloud's and Pulumi's state, the databases' very files."""
    state = driven.stack.state
    files = [f for f in state.rglob("*") if not f.is_relative_to(state / "ehr")]
    for expected in (
        "graph/raw-requests.jsonl",
        "entra/raw-requests.jsonl",
        "azure/resources.json",
        "azure/calls.jsonl",
        "supervisor/logs/graph.log",
        "supervisor/logs/ehr-lakeside.log",
        "supervisor/logs/supervisor.log",
    ):
        assert state / expected in files, expected
    assert len([f for f in files if f.parent.name == "logs" and f.name.startswith(("application-", "worker-"))]) == 12
    assert hits_in_files(files, sought(driven.canaries)) == []


def test_what_a_patient_types_in_front_of_teams_stays_with_teams(driven: Driven) -> None:
    state = driven.stack.state
    files = [f for f in state.rglob("*") if not f.is_relative_to(state / "graph")]
    wanted = {f"{c.organization}, {form}": b for c in driven.canaries for form, b in forms(c.guest_name).items()}
    assert hits_in_files([f for f in files if not f.is_relative_to(state / "postgres")], wanted) == []


def test_no_other_organisations_ehr_holds_a_canary(driven: Driven) -> None:
    # The emulation plants all appointments at once; what another EHR was told is what its requests say.
    for organization in {e.organization for e in driven.stack.world.ehrs}:
        others = [c for c in driven.canaries if c.organization != organization]
        wanted = {f"{c.organization}, {form}": b for c in others for form, b in forms(c.marker).items()}
        assert hits_in_files((driven.stack.state / "ehr" / organization).rglob("*"), wanted) == []


def test_no_address_or_page_but_the_ehrs_own_holds_a_canary(driven: Driven) -> None:
    wanted = sought(driven.canaries)
    for canary in driven.canaries:
        wanted |= {f"guest name, {form}": needle for form, needle in forms(canary.guest_name).items()}
    assert len(driven.seen.urls) > 50
    assert [hit for url in driven.seen.urls for hit in hits(url.encode(), wanted)] == []
    connector = [page for page in driven.seen.pages if b"Microsoft" in page or b"visit" in page]
    assert len(connector) > 10
    hidden = {k: v for k, v in wanted.items() if not k.startswith("guest name")}
    assert [hit for page in driven.seen.pages for hit in hits(page, hidden)] == []


def test_what_is_sent_in_vain_is_in_no_log_either(stack: TestStack) -> None:
    """Refused requests, by whoever sends them: the likeliest lines of a log to quote what came."""
    marker = new_marker()
    hosts = [g.public_hosts.test for g in stack.config.geographies.values()]
    with httpx.Client(verify=stack.certificates, trust_env=False, timeout=20) as http:
        for host in hosts:
            for party in ("provider", "patient"):
                base = f"https://{host}/launch/{party}"
                for organization in stack.config.organizations:
                    connection = f"{organization.id}-test"
                    refused = [
                        http.get(f"{base}/{connection}", params={"iss": f"https://{marker}/FHIR", "launch": marker}),
                        http.get(f"{base}/{connection}/callback", params={"code": marker, "state": marker}),
                        http.get(
                            f"{base}/{connection}/callback", params={"error": marker, "error_description": marker}
                        ),
                    ]
                    assert {r.status_code // 100 for r in refused} == {4}
                assert http.get(f"{base}/{marker}").status_code == 404
            for path in ("graph/notifications", "graph/lifecycle"):
                body = {"value": [{"clientState": marker, "resource": marker}], "validationTokens": [marker]}
                assert http.post(f"https://{host}/{path}/{marker}", json=body).status_code >= 400
            http.get(f"https://{host}/identity/callback", params={"code": marker, "state": marker})
            http.get(f"https://{host}/identity/sign-in", params={"ticket": marker})
            http.get(f"https://{host}/visit/provider", params={"visit": marker}, headers={"referer": marker})
            http.get(f"https://{host}/{marker}", headers={"user-agent": marker, "x-forwarded-for": marker})
    logs = list((stack.state / "supervisor" / "logs").iterdir())
    assert hits_in_files(logs, forms(marker)) == []
    for name, data in dumps(stack).items():
        assert [f"{name}: {hit}" for hit in hits(data, forms(marker))] == []


# --- the searches can fail ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["supervisor/logs/graph.log", "graph/raw-requests.jsonl", "azure/resources.json"])
def test_a_marker_written_into_a_copy_is_found_in_every_form(stack: TestStack, tmp_path: Path, file: str) -> None:
    canary = Canary("lakeside", 0, new_marker() + "a0")
    copy = Path(shutil.copy(stack.state / file, tmp_path))
    assert hits_in_files([copy], sought([canary])) == []
    data = copy.read_bytes()
    for form in forms(canary.csn):
        # Within something longer, at each place in base64's groups of three.
        longer = "-" * int(form[-1]) + canary.csn if "base64" in form else canary.csn
        copy.write_bytes(
            data + b'{"event": "' + forms(longer)[form if "base64" not in form else f"{form[:-1]}0"] + b'"}\n'
        )
        assert hits_in_files([copy], sought([canary])), form


def test_a_marker_and_a_column_written_into_a_database_are_found_and_taken_back(stack: TestStack) -> None:
    canary = Canary("lakeside", 0, new_marker() + "a0")
    allowed = ALLOWED.read_text("utf-8").splitlines()
    with administrator(servers(stack)[0]) as connection:
        for value in (canary.csn.encode(), digests(canary.patient)["sha256"]):
            connection.execute("CREATE TABLE connector.copy (sealed bytea)")
            connection.execute("INSERT INTO connector.copy VALUES (%s)", (value,))
            assert list(hits(dump(connection), sought([canary])))
            assert [line for line in columns(connection) if line not in allowed] == ["connector.copy.sealed bytea"]
            connection.rollback()
        assert list(hits(dump(connection), sought([canary]))) == []
