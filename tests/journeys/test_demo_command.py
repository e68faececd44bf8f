"""`connector demo`: one document of whole visits on standard output, progress beside it, and nothing left."""

import json
from pathlib import Path

from schemas.vocabulary import GeographyName
from tests.support.stack import TestStack
from workflow.visit import PRESENCE, WRITE_BACKS


def test_the_demo_prints_one_document_of_whole_visits_and_leaves_nothing(
    tmp_path: Path, pulumi_executable: Path
) -> None:
    stack = TestStack.make(tmp_path)
    files = {f: f.read_bytes() for f in tmp_path.glob("*.yaml")}
    ended = stack.connector("demo", "--appointments", "5", "--seed", "2", "--output", "json")
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert set(document) == {"organizations", "resources", "seconds"}

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
    assert len(visits) == 5
    for visit in visits:
        assert visit["launches"] == 2
        assert visit["meeting"]["join_url"].startswith(config.microsoft365.endpoints.graph_url)
        assert [(p["participant"], p["state"]) for p in visit["presence"]] == PRESENCE
        assert {(w["external_id_type"], w["status"]) for w in visit["write_backs"]} == WRITE_BACKS

    assert document["resources"]["azure-native:app:ContainerApp"] == 6
    assert {"prepare", "up", "visits", "down", "total"} <= set(document["seconds"])
    assert "is connected" in ended.stderr

    assert stack.until_no_processes() == []
    assert stack.arm() == {}
    assert {f: f.read_bytes() for f in tmp_path.glob("*.yaml")} == files, "the engine wrote into a stack's file"
