"""`connector demo`: the story and its visits as one document on standard output, progress beside it, nothing left."""

import json
from pathlib import Path
from typing import Any

from schemas.vocabulary import GeographyName
from tests.support.needles import looks_like_a_credential
from tests.support.stack import TestStack
from workflow.visit import PRESENCE, WRITE_BACKS


def test_the_demo_prints_one_document_of_whole_visits_and_leaves_nothing(
    tmp_path: Path, pulumi_executable: Path
) -> None:
    stack = TestStack.make(tmp_path, approved=False)
    files = {f: f.read_bytes() for f in tmp_path.glob("*.yaml")}
    ended = stack.connector("demo", "--appointments", "5", "--seed", "2", "--output", "json")
    assert ended.returncode == 0, ended.stderr
    assert looks_like_a_credential((ended.stdout + ended.stderr).encode()) == []
    document = json.loads(ended.stdout)
    assert set(document) == {"organizations", "promotion", "resources", "seconds"}
    story(document["promotion"])

    organizations = {o["id"]: o for o in document["organizations"]}
    assert list(organizations) == ["lakeside", "prairie", "rheinland", "southern-cross"]
    assert {o["geography"] for o in organizations.values()} == set(GeographyName)
    config = stack.config
    for name, organization in organizations.items():
        geography = config.geographies[GeographyName(organization["geography"])]
        assert organization["location"] == geography.location
        for party in ("provider", "patient"):
            expected = f"https://{geography.public_hosts.test}/launch/{party}/{name}-test"
            assert organization["launch_urls"][party] == expected

    visits = [v for o in organizations.values() for v in o["visits"]]
    assert len(visits) == 6
    assert [v["connection"] for v in visits if v["connection"].endswith("-production")] == ["lakeside-production"]
    for visit in visits:
        assert visit["launches"] == 2
        assert visit["meeting"]["join_url"].startswith(config.microsoft365.endpoints.graph_url)
        assert [(p["participant"], p["state"]) for p in visit["presence"]] == PRESENCE
        assert {(w["external_id_type"], w["status"]) for w in visit["write_backs"]} == WRITE_BACKS

    assert document["resources"]["azure-native:app:ContainerApp"] == 9
    phases = {"prepare", "up", "approval", "visits", "promotion", "revocation", "down", "production_up", "total"}
    assert phases <= set(document["seconds"])
    assert "is connected" in ended.stderr

    assert stack.until_no_processes() == []
    assert stack.arm() == {}
    assert {f: f.read_bytes() for f in tmp_path.glob("*.yaml")} == files, "the engine wrote into a stack's file"


def story(steps: list[dict[str, Any]]) -> None:
    """From nothing approved to a revocation during a visit, each step with its digest and its reasons."""
    names = [s["step"] for s in steps]
    assert names[:3] == ["launch-refused", "production-refused", "edited"]
    assert names[-4:] == ["production-refused", "revoked", "launch-refused", "visit-ended"]
    assert (names.count("approved"), names.count("rehearsed"), names.count("promoted")) == (8, 4, 4)
    by_name = {name: [s for s in steps if s["step"] == name] for name in names}
    assert [s["reasons"] for s in by_name["launch-refused"]] == [["connection-not-approved"], ["connection-withdrawn"]]
    before, after = by_name["production-refused"]
    assert before["reasons"] == ["approval-missing"]
    assert "configuration-changed" in after["reasons"]
    assert after["organization"] == "prairie"
    organizations = ("lakeside", "prairie", "rheinland", "southern-cross")
    assert {c["connection"]: c["reasons"] for c in before["connections"]} == {
        f"{name}-production": ["approval-missing"] for name in organizations
    }
    (edited_by_hand,) = after["connections"]
    assert edited_by_hand["connection"] == "prairie-production"
    (up,) = by_name["production-up"]
    served = {c["connection"]: c["sha256"] for c in up["connections"]}
    assert served == {s["connection"]: s["sha256"] for s in by_name["promoted"]}
    assert edited_by_hand["sha256"] != served["prairie-production"]
    assert all("sha256" in s or all(len(c["sha256"]) == 64 for c in s["connections"]) for s in steps)
    assert by_name["revoked"][0]["reasons"] == ["revoked"]
    (promoted,) = [s for s in by_name["promoted"] if s["connection"] == "lakeside-production"]
    assert {s["sha256"] for s in steps[-3:]} == {promoted["sha256"]}
    edited, approved = by_name["edited"][0], {s["connection"]: s for s in by_name["approved"]}
    assert edited["sha256"] == approved["lakeside-production"]["sha256"] != edited["before"]
    assert {s["sha256"] for s in by_name["promoted"]} <= {s["sha256"] for s in approved.values()}
    assert all(s["records"] for s in by_name["approved"])
