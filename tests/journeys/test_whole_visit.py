"""A whole visit in two browsers: waiting room, meeting, live participants, and the status that Hyperspace shows."""

from playwright.sync_api import Browser, expect

from tests.support.browser_journeys import (
    LIVE_MS,
    PHONE,
    Hospital,
    Hyperspace,
    MyChart,
    TeamsRoom,
    open_window,
    overflow_px,
    participant,
    visit_heading,
)

PROVIDER = "U-PRAI-1"


def test_a_patient_waits_until_the_provider_has_begun_and_goes_on_alone(browser: Browser, hospital: Hospital) -> None:
    provider = hospital.provider(PROVIDER)
    visit = hospital.schedule(provider)
    with open_window(browser, PHONE) as home, open_window(browser) as clinic:
        patient = MyChart(home, hospital, visit.patient_name).begin()
        expect(patient.get_by_text("Your provider has not started yet")).to_be_visible()
        assert overflow_px(patient) == 0

        frame = Hyperspace(clinic, hospital, provider).into_visit(visit.csn)
        room = TeamsRoom(patient)
        expect(patient.get_by_label("Type your name")).to_be_visible(timeout=LIVE_MS)
        assert "localhost" not in patient.url
        room.join_as_guest("Jo")
        expect(participant(frame, "Patient's side").get_by_text("In the lobby since")).to_be_visible(timeout=LIVE_MS)


def test_the_provider_is_told_live_that_the_patient_waits(browser: Browser, hospital: Hospital) -> None:
    provider = hospital.provider(PROVIDER)
    visit = hospital.schedule(provider)
    with open_window(browser, PHONE) as home, open_window(browser) as clinic:
        # The way on to Teams is held shut, so that the patient stays in the waiting room.
        home.route("**/visit/patient/join*", lambda route: route.fulfill(status=204))
        hyperspace = Hyperspace(clinic, hospital, provider)
        frame = hyperspace.into_visit(visit.csn)
        expect(frame.get_by_text("Patient waiting since")).to_have_count(0)
        MyChart(home, hospital, visit.patient_name).begin()
        expect(frame.get_by_text("Patient waiting since")).to_be_visible(timeout=LIVE_MS)


def test_connects_and_disconnects_show_on_the_providers_page_and_in_hyperspace(
    browser: Browser, hospital: Hospital
) -> None:
    provider = hospital.provider(PROVIDER)
    visit = hospital.schedule(provider)
    with open_window(browser, PHONE) as home, open_window(browser) as clinic:
        hyperspace = Hyperspace(clinic, hospital, provider)
        frame = hyperspace.into_visit(visit.csn)
        teams = hyperspace.open_teams(frame)
        teams.join_with(hospital.account_of(provider))
        expect(participant(frame, "You").get_by_text("Connected since")).to_be_visible(timeout=LIVE_MS)
        expect(hyperspace.status("Provider")).to_contain_text("Connected", timeout=LIVE_MS)

        patient = MyChart(home, hospital, visit.patient_name).begin()
        expect(patient.get_by_label("Type your name")).to_be_visible(timeout=LIVE_MS)
        room = TeamsRoom(patient)
        room.join_as_guest("Jo")
        teams.admit("Jo")
        expect(patient.get_by_text("You are in the meeting")).to_be_visible(timeout=LIVE_MS)
        connected = participant(frame, "Patient's side").get_by_text("Connected since")
        expect(connected).to_be_visible(timeout=LIVE_MS)
        expect(hyperspace.status("Patient")).to_contain_text("Connected", timeout=LIVE_MS)

        room.leave()
        expect(participant(frame, "Patient's side").get_by_text("Left at")).to_be_visible(timeout=LIVE_MS)
        expect(hyperspace.status("Patient")).to_contain_text("Disconnected", timeout=LIVE_MS)
        teams.end()
        expect(frame.get_by_text("The call has ended").first).to_be_visible(timeout=LIVE_MS)
        expect(hyperspace.status("Provider")).to_contain_text("Disconnected", timeout=LIVE_MS)


def test_a_second_provider_of_the_same_appointment_comes_to_the_same_meeting(
    browser: Browser, hospital: Hospital
) -> None:
    first, second = hospital.provider(PROVIDER), hospital.provider("U-PRAI-2")
    visit = hospital.schedule(first)
    with open_window(browser) as one, open_window(browser) as two:
        frame = Hyperspace(one, hospital, first).into_visit(visit.csn)
        link = frame.get_by_role("link", name="Open Teams").get_attribute("href")
        hyperspace = Hyperspace(two, hospital, second)
        hyperspace.everybody = True
        other = hyperspace.into_visit(visit.csn)
        expect(visit_heading(other)).to_be_visible()
        assert other.get_by_role("link", name="Open Teams").get_attribute("href") == link
