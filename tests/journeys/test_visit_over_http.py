"""Whole visits through the running stack: real processes, real PostgreSQL, every page and call over https."""

import asyncio

import httpx
import pytest

from schemas.image import image_digest
from tests.support.samples import ROOT
from tests.support.stack import TestStack
from workflow.credentials import seed
from workflow.demo import visits
from workflow.local import launch_urls
from workflow.project import Project
from workflow.visit import PRESENCE, WRITE_BACKS, Record, judge


def driven(stack: TestStack, appointments: int, seed: int) -> list[Record]:
    """Without the hospital whose providers the browser journeys need new to Microsoft."""
    others = tuple(o for o in stack.config.organizations if o.id != "prairie")
    config = stack.config.model_copy(update={"organizations": others})
    project = Project(stack.root, stack.state)
    return asyncio.run(visits(project, config, stack.world, appointments, seed, _say_nothing))


def _say_nothing(organization: str, csn: str, who: str, what: str) -> None:
    pass


@pytest.fixture(scope="module")
def records(stack: TestStack) -> list[Record]:
    """Random visits, spread over the organisations: first sign-ins and later ones, either side coming first."""
    return driven(stack, 12, seed=7)


def test_every_visit_is_whole(records: list[Record]) -> None:
    judge(records)
    assert len(records) == 12


def test_visits_are_spread_over_the_organisations_and_both_sides_come_first(records: list[Record]) -> None:
    assert {r.plan.organization for r in records} == {"lakeside", "rheinland", "southern-cross"}
    assert {r.plan.patient_first for r in records} == {True, False}


def test_each_visit_has_two_launches_and_a_meeting_of_its_own(records: list[Record]) -> None:
    assert {r.launches for r in records} == {2}
    assert len({r.meeting["join_url"] for r in records}) == len(records)


def test_the_providers_page_shows_everybody_come_and_go_in_order(records: list[Record]) -> None:
    for record in records:
        assert [(p["participant"], p["state"]) for p in record.presence] == PRESENCE


def test_each_event_is_told_to_the_ehr_once_connects_before_disconnects(records: list[Record]) -> None:
    for record in records:
        told = [(w.external_id_type, w.status) for w in record.write_backs]
        assert set(told) == WRITE_BACKS
        assert len(told) == len(WRITE_BACKS)
        for side in ("Provider", "Patient"):
            assert told.index((side, "Connected")) < told.index((side, "Disconnected"))


def test_an_ehr_is_told_of_its_own_visits_only(stack: TestStack, records: list[Record]) -> None:
    for organization in stack.config.organizations:
        log = stack.state / "ehr" / organization.id / "raw-requests.jsonl"
        own = {r.plan.csn for r in records if r.plan.organization == organization.id}
        others = {r.plan.csn for r in records} - own
        text = log.read_text("utf-8") if log.exists() else ""
        assert all(f"ConferenceID={csn}" in text for csn in own)
        assert not any(f"ConferenceID={csn}" in text for csn in others - own)


def test_the_same_seed_plans_the_same_visits(stack: TestStack, records: list[Record]) -> None:
    again = driven(stack, 12, seed=7)
    plan = [(r.plan.organization, r.plan.patient_first) for r in records]
    assert [(r.plan.organization, r.plan.patient_first) for r in again] == plan


def test_the_stack_runs_the_image_of_the_working_tree(stack: TestStack) -> None:
    apps = [r for r in stack.arm().values() if r["type"].lower() == "microsoft.app/containerapps"]
    images = {c["image"].rpartition(":")[2] for a in apps for c in a["properties"]["template"]["containers"]}
    assert len(apps) == 9
    assert len(images) == 1
    files = [
        (str(f.relative_to(ROOT)), f.read_bytes())
        for d in ("runtime", "schemas")
        for f in (ROOT / d).rglob("*")
        if f.is_file()
    ]
    files.append(("requirements/runtime.txt", (ROOT / "requirements" / "runtime.txt").read_bytes()))
    assert images == {image_digest(files)}


def test_every_printed_address_answers(stack: TestStack) -> None:
    config, world = stack.config, stack.world
    with httpx.Client(verify=stack.certificates, trust_env=False) as http:
        for ehr in world.ehrs:
            for page in ("hyperspace", "mychart"):
                assert http.get(f"{ehr.url}/{page}?environment=test").status_code == 200
        for geography in config.geographies.values():
            assert http.get(f"https://{geography.public_hosts.test}/readyz").status_code == 200
        for organization in config.organizations:
            for url in launch_urls(config, organization.id).values():
                refused = http.get(url)
                assert refused.status_code == 400, "a launch without iss and launch is refused, by a page of ours"
                assert refused.headers["content-type"].startswith("text/html")


def test_credentials_that_are_there_are_not_replaced(stack: TestStack) -> None:
    written = [seed(stack.state, stack.config, g) for g in stack.config.geographies]
    assert written == [[], [], []]
