"""The runtime logs what its alerts look for: each scene is run, and its lines are given to the alert's query."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from structlog.testing import capture_logs

from components.alert_rules import LOG_ALERTS, LogAlert
from emulators import tls
from runtime.audit import Action, AuditRow
from runtime.audit_heads import AuditHeads
from runtime.bootstrap import Services, anchors
from runtime.host_certificate import tell_host_certificate
from runtime.launch import refusals
from runtime.launch.model import Party
from runtime.launch.routes import refused
from runtime.logs import only_allowed
from runtime.meeting.renewal import renew_due, tell_certificate
from runtime.writeback.delivery import deliver
from schemas.promotion.approvals import Approvals
from schemas.promotion.statement import at
from schemas.promotion.trust import Trust
from schemas.vocabulary import GeographyName, Stage
from tests.support.alerting import fires
from tests.support.launching import Place
from tests.support.postgres import PostgresServer
from tests.support.samples import ROOT
from tests.support.standing import approved_file, deciding, everything, without
from tests.support.statements import NOW
from tests.support.visits import Clinic, clinic, staff

pytestmark = pytest.mark.anyio


def alert(name: str) -> LogAlert:
    (found,) = [a for a in LOG_ALERTS if a.name == name]
    return found


def lines(logs: Iterable[Any]) -> list[str]:
    """As they are printed: what is not on the list of keys is not there."""
    return [json.dumps(only_allowed(None, "", dict(entry))) for entry in logs]


@pytest.fixture
async def here(postgres: PostgresServer) -> AsyncGenerator[Clinic]:
    async with clinic(postgres) as made:
        await made.provider()
        yield made


async def delivered(here: Clinic, status: int) -> list[str]:
    here.remotes.broken["ehr_status"] = lambda _: httpx.Response(status)
    with capture_logs() as logs:
        await deliver(here.worker, here.rows("SELECT visit_key FROM visit")[0][0])
    return lines(logs)


async def test_a_write_back_that_waits_is_late_after_a_quarter_of_an_hour(here: Clinic) -> None:
    await here.happen("n-1", 1, staff("p-1"))
    assert not fires(alert("write-backs-late"), await delivered(here, 503))
    here.execute("UPDATE write_back SET created_at = now() - interval '16 minutes'")
    assert fires(alert("write-backs-late"), await delivered(here, 503))


async def test_a_write_back_that_is_given_up_on_is_told_at_once(here: Clinic) -> None:
    await here.happen("n-1", 1, staff("p-1"))
    said = await delivered(here, 422)
    assert fires(alert("write-backs-dead"), said)
    assert not fires(alert("write-backs-late"), said)


async def test_many_refused_launches_are_told_and_a_few_are_not(here: Clinic) -> None:
    served = here.worker.configuration.served[0]
    with capture_logs() as logs:
        for _ in range(26):
            refused(served, Party.PATIENT, refusals.PATIENT_MISSING)
    assert fires(alert("launches-refused"), lines(logs))
    assert not fires(alert("launches-refused"), lines(logs[:25]))


async def test_an_approval_that_ends_within_a_month_is_told_until_it_is_given_again(place: Place) -> None:
    files = without(everything(), "lakeside-test/approval").statements
    ending = approved_file(1, expires=at(NOW + timedelta(days=40)))
    async with deciding(place, Stage.TEST, Approvals((*files, ending))) as here:
        for days, told in ((5, False), (10, True), (30, True)):
            here.clock.passes(seconds=days * 86400)
            with capture_logs() as logs:
                await here.refresh()
            assert fires(alert("approvals-end"), lines(logs)) is told, days


async def test_a_certificate_is_told_sixty_days_before_it_ends(here: Clinic) -> None:
    ends = here.worker.keys.notification.ends_at
    for days, told in ((61, False), (59, True), (-1, True)):
        services = replace(here.worker, clock=lambda days=days: ends - timedelta(days=days))
        with capture_logs() as logs:
            await tell_certificate(services)
        assert fires(alert("certificate-ends"), lines(logs)) is told, days


@asynccontextmanager
async def shown(here: Clinic, state: Path) -> AsyncGenerator[Services]:
    """The worker, where the public host serves the leaf of a local authority."""
    tls.ensure_leaf(state, ["localhost"])
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=tls.server_context(state))
    port = server.sockets[0].getsockname()[1]
    handover = here.worker.settings.handover.model_copy(
        update={"public_host": f"localhost:{port}", "ca_bundle": str(tls.ca_certificate(state))}
    )
    async with server:
        yield replace(here.worker, settings=replace(here.worker.settings, handover=handover))


async def told_of_the_host(services: Services) -> list[str]:
    with capture_logs() as logs:
        await tell_host_certificate(services)
    return lines(logs)


async def test_the_hosts_certificate_is_told_three_weeks_before_it_ends(here: Clinic, tmp_path: Path) -> None:
    async with shown(here, tmp_path) as services:
        ends = x509.load_pem_x509_certificate(tls.server_pair(tmp_path)[0].read_bytes()).not_valid_after_utc
        for days, told in ((22, False), (20, True)):
            later = replace(services, clock=lambda days=days: ends - timedelta(days=days))
            assert fires(alert("host-certificate-ends"), await told_of_the_host(later)) is told, days


async def test_a_host_certificate_that_nobody_trusts_is_told(
    here: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls.ensure_leaf(tmp_path, ["localhost"], "another")  # and so the authority, which lives longer
    monkeypatch.setattr(tls, "LIFETIME", timedelta(minutes=-1))
    async with shown(here, tmp_path) as services:
        (line,) = await told_of_the_host(services)
        assert json.loads(line) | {"code": 10} == json.loads(line), "it has ended"
        assert fires(alert("host-certificate-ends"), [line])


async def test_a_host_that_does_not_answer_is_no_matter_of_its_certificate(here: Clinic, tmp_path: Path) -> None:
    async with shown(here, tmp_path) as services:
        pass
    (line,) = await told_of_the_host(services)
    assert json.loads(line)["event"] == "host-not-reached"
    assert not fires(alert("host-certificate-ends"), [line])


async def test_subscriptions_that_are_not_renewed_are_told(here: Clinic) -> None:
    here.execute("UPDATE subscription SET expires_at = now() + interval '1 hour'")
    here.remotes.broken["renew"] = lambda _: httpx.Response(403)
    with capture_logs() as logs:
        for _ in range(4):
            await renew_due(here.worker)
    assert fires(alert("subscriptions-fail"), lines(logs))
    assert not fires(alert("subscriptions-fail"), lines(logs)[:3])


@pytest.mark.parametrize("scene", ["stale", "never held", "refused"])
async def test_a_list_of_revocations_that_does_not_count_is_told(place: Place, scene: str) -> None:
    approvals = without(everything(served=True), "approvals/revocations/") if scene == "never held" else everything()
    async with deciding(place, Stage.PRODUCTION, approvals) as here:
        if scene == "stale":
            here.clock.passes(seconds=60 * 86400)
        elif scene == "refused":
            await here.refresh()
            here.storage.publish(here.list_of(2, geography=GeographyName.EMEA))
        with capture_logs() as logs:
            await here.refresh()
    assert fires(alert("revocations-stale"), lines(logs))


async def test_heads_that_cannot_be_signed_are_told(here: Clinic) -> None:
    services = replace(here.worker, trust=Trust((), anchors(here.worker.settings.cloud)))
    async with services.database.transaction() as connection:
        await services.audit.record(connection, AuditRow(Action.LAUNCHED))
    with capture_logs() as logs:
        await AuditHeads(services).chain_and_anchor()
    assert fires(alert("audit-contradicted"), lines(logs))


def test_a_process_that_does_not_start_is_told_at_its_third_try() -> None:
    """The real process, in an environment without settings: its line is the one that Azure keeps."""
    done = subprocess.run(
        [sys.executable, "-m", "runtime"],
        env={"PATH": "/usr/bin"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    tries = done.stdout.splitlines()
    assert done.returncode != 0
    assert len(tries) == 1
    assert fires(alert("processes-restart"), tries * 3, ContainerGroupName="connector--1-abc")
    assert not fires(alert("processes-restart"), tries * 2, ContainerGroupName="connector--1-abc")
