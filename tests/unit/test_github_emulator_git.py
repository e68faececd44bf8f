"""The emulated GitHub's tokens, permissions and Git Data refuse what GitHub refuses, and unknown properties too."""

import base64
from pathlib import Path

import pytest

from tests.support.github_site import FULL_NAME, HEADERS, Api, GitHub

WORKFLOW = ".github/workflows/gate.yml"


@pytest.fixture
def hub(tmp_path: Path) -> GitHub:
    github = GitHub(tmp_path / "repository.git")
    github.push("main", {"README.md": b"read me\n", "a/b.txt": b"b\n", WORKFLOW: b"on: push\n"})
    return github


@pytest.fixture
def portal(hub: GitHub) -> Api:
    return hub.as_installation(hub.add_app("portal", {"contents": "write", "pull_requests": "write"}))


# --- tokens ---


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"exp": 1_780_315_200 + 601}, "'Expiration time' claim ('exp') is too far in the future"),
        ({"exp": 1_780_315_200}, "'Expiration time' claim ('exp') must be a numeric value"),
        ({"exp": "soon"}, "'Expiration time' claim ('exp') must be a numeric value"),
        ({"iat": 1_780_315_200 + 1}, "'Issued at' claim ('iat') must be an Integer"),
        ({"iss": "7"}, "A JSON web token could not be decoded"),
    ],
)
def test_a_jwt_that_github_would_refuse_is_refused(hub: GitHub, claims: dict[str, object], message: str) -> None:
    installation = hub.add_app("portal", {"contents": "write"})
    api = Api(hub.client, f"Bearer {hub.jwt(installation.app, **claims)}")
    status, said = api.refused("POST", f"/app/installations/{installation.id}/access_tokens", {})
    assert status == 401
    assert said.startswith(message)


def test_a_jwt_of_another_key_is_refused(hub: GitHub) -> None:
    one, other = hub.add_app("portal", {}), hub.add_app("gate", {})
    api = Api(hub.client, f"Bearer {hub.jwt(other.app, iss=str(one.app.id))}")
    assert api.refused("GET", "/app")[0] == 401


def test_a_jwt_buys_one_token(hub: GitHub) -> None:
    installation = hub.add_app("portal", {})
    api, path = (
        Api(hub.client, f"Bearer {hub.jwt(installation.app)}"),
        f"/app/installations/{installation.id}/access_tokens",
    )
    api.made("POST", path, {})
    assert api.refused("POST", path, {})[0] == 401


def test_an_app_gets_no_token_of_anothers_installation(hub: GitHub) -> None:
    one, other = hub.add_app("portal", {}), hub.add_app("gate", {})
    api = Api(hub.client, f"Bearer {hub.jwt(other.app)}")
    assert api.refused("POST", f"/app/installations/{one.id}/access_tokens", {})[0] == 404


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({"permissions": {"contents": "admin"}}, 422),
        ({"permissions": {"checks": "read"}}, 422),
        ({"repositories": ["elsewhere"]}, 422),
        ({"repositories": []}, 422),
        ({"lifetime": 5}, 422),
    ],
)
def test_a_token_has_at_most_what_the_installation_has(hub: GitHub, limits: dict[str, object], status: int) -> None:
    installation = hub.add_app("portal", {"contents": "write"})
    api = Api(hub.client, f"Bearer {hub.jwt(installation.app)}")
    assert api.refused("POST", f"/app/installations/{installation.id}/access_tokens", limits)[0] == status


def test_a_token_lives_an_hour_and_can_be_given_back(hub: GitHub, portal: Api) -> None:
    portal.made("GET", "")
    hub.now += 3600
    assert portal.refused("GET", "") == (401, "Bad credentials")


def test_a_token_that_was_given_back_is_no_token(portal: Api) -> None:
    portal.made("DELETE", "/installation/token")
    assert portal.refused("GET", "") == (401, "Bad credentials")


def test_a_token_may_what_it_was_given_only(hub: GitHub) -> None:
    installation = hub.add_app("portal", {"contents": "write", "pull_requests": "write"})
    reading = hub.as_installation(installation, permissions={"contents": "read"})
    reading.made("GET", "git/ref/heads/main")
    blob = {"content": "x", "encoding": "utf-8"}
    assert reading.refused("POST", "git/blobs", blob) == (403, "Resource not accessible by integration")
    assert reading.refused("GET", "pulls") == (403, "Resource not accessible by integration")


def test_a_repository_of_others_is_not_found(hub: GitHub, tmp_path: Path) -> None:
    stranger = hub.add_person("stranger", None)
    assert stranger.refused("GET", "") == (404, "Not Found")
    assert stranger.refused("GET", "/repos/example/nothing") == (404, "Not Found")


def test_names_are_not_case_sensitive(portal: Api) -> None:
    assert portal.made("GET", "/repos/Example/CONNECTOR")["full_name"] == FULL_NAME


@pytest.mark.parametrize(
    ("header", "status"), [("accept", 400), ("x-github-api-version", 400), ("user-agent", 403), ("authorization", 401)]
)
def test_a_request_says_what_it_speaks(hub: GitHub, portal: Api, header: str, status: int) -> None:
    headers = {**HEADERS, "authorization": portal.authorization, header: ""}
    assert hub.client.get(f"/repos/{FULL_NAME}", headers=headers).status_code == status


def test_every_answer_says_what_is_left_and_nothing_is_answered_beyond(hub: GitHub, portal: Api) -> None:
    hub.site.limit = 2
    assert portal("GET", "").headers["x-ratelimit-remaining"] == "1"
    assert portal("GET", "git/ref/heads/none").headers["x-ratelimit-remaining"] == "0"
    status, message = portal.refused("GET", "")
    assert status == 403
    assert message.startswith("API rate limit exceeded for installation ID")
    hub.now += 3599
    assert portal.refused("GET", "")[0] == 403


# --- git data ---


def commit(api: Api, parent: str, path: str = "a/new.txt", content: str = "new\n") -> str:
    blob = api.made("POST", "git/blobs", {"content": content, "encoding": "utf-8"})["sha"]
    entry = {"path": path, "mode": "100644", "type": "blob", "sha": blob}
    tree = api.made("POST", "git/trees", {"base_tree": parent, "tree": [entry]})["sha"]
    return api.made("POST", "git/commits", {"message": "New", "tree": tree, "parents": [parent]})["sha"]


def test_a_commit_made_by_the_api_is_on_a_branch_of_the_bare_repository(hub: GitHub, portal: Api) -> None:
    main = portal.made("GET", "git/ref/heads/main")["object"]["sha"]
    sha = commit(portal, main)
    portal.made("POST", "git/refs", {"ref": "refs/heads/edit", "sha": sha})
    assert hub.head("edit") == sha
    listed = portal.made("GET", f"git/trees/{sha}?recursive=1")["tree"]
    assert [e["path"] for e in listed if e["type"] == "blob"] == [WORKFLOW, "README.md", "a/b.txt", "a/new.txt"]
    found = portal.made("GET", "contents/a/new.txt?ref=edit")
    assert base64.b64decode(found["content"]) == b"new\n"


def test_a_file_is_deleted_by_a_tree_entry_without_a_sha(portal: Api) -> None:
    main = portal.made("GET", "git/ref/heads/main")["object"]["sha"]
    entry = {"path": "a/b.txt", "mode": "100644", "type": "blob", "sha": None}
    tree = portal.made("POST", "git/trees", {"base_tree": main, "tree": [entry]})
    assert [e["path"] for e in tree["tree"]] == [".github", "README.md"]


REFUSED: list[tuple[str, str, object, int]] = [
    ("POST", "git/blobs", {"content": "x", "encoding": "utf-8", "sha": "y"}, 422),
    ("POST", "git/blobs", {"content": "*", "encoding": "rot13"}, 422),
    ("POST", "git/blobs", {"content": 1}, 422),
    ("POST", "git/trees", {"tree": []}, 422),
    ("POST", "git/trees", {"base_tree": "0" * 40, "tree": [{}]}, 422),
    ("POST", "git/trees", {"tree": [{"path": "x", "mode": "100644", "type": "blob", "sha": "0" * 40}]}, 422),
    ("POST", "git/trees", {"tree": [{"path": "../x", "mode": "100644", "type": "blob", "content": ""}]}, 422),
    ("POST", "git/trees", {"tree": [{"path": ".GIT/x", "mode": "100644", "type": "blob", "content": ""}]}, 422),
    ("POST", "git/trees", {"tree": [{"path": "x", "mode": "040000", "type": "blob", "content": ""}]}, 422),
    ("POST", "git/commits", {"message": "x", "tree": "0" * 40}, 422),
    ("POST", "git/commits", {"message": "", "tree": "0" * 40}, 422),
    ("POST", "git/refs", {"ref": "heads/x", "sha": "0" * 40}, 422),
    ("POST", "git/refs", {"ref": "refs/heads/x", "sha": "0" * 40}, 422),
    ("PATCH", "git/refs/heads/none", {"sha": "0" * 40}, 422),
    ("GET", "git/ref/heads/none", None, 404),
    ("GET", f"git/blobs/{'0' * 40}", None, 404),
    ("GET", "contents/none.txt", None, 404),
    ("GET", "pulls?sort=created", None, 422),
    ("GET", "pulls?state=open&state=closed", None, 422),
    ("GET", "issues", None, 404),
    ("PUT", "contents/x.txt", {"message": "x"}, 404),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), REFUSED)
def test_what_github_refuses_is_refused(portal: Api, method: str, path: str, body: object, status: int) -> None:
    assert portal.refused(method, path, body)[0] == status


def test_a_body_that_is_no_json_is_told_so(hub: GitHub, portal: Api) -> None:
    headers = {**HEADERS, "authorization": portal.authorization}
    response = hub.client.post(f"/repos/{FULL_NAME}/git/blobs", content=b"{", headers=headers)
    assert (response.status_code, response.json()["message"]) == (400, "Problems parsing JSON")


def test_a_branch_moves_forward_unless_it_is_forced(hub: GitHub, portal: Api) -> None:
    main = portal.made("GET", "git/ref/heads/main")["object"]["sha"]
    one, other = commit(portal, main, content="1"), commit(portal, main, content="2")
    portal.made("POST", "git/refs", {"ref": "refs/heads/edit", "sha": one})
    status = portal.refused("POST", "git/refs", {"ref": "refs/heads/edit", "sha": other})
    assert status == (422, "Reference already exists")
    assert portal.refused("PATCH", "git/refs/heads/edit", {"sha": other}) == (422, "Update is not a fast forward")
    portal.made("PATCH", "git/refs/heads/edit", {"sha": other, "force": True})
    assert hub.head("edit") == other


def test_an_app_without_that_permission_changes_no_workflow(portal: Api) -> None:
    main = portal.made("GET", "git/ref/heads/main")["object"]["sha"]
    sha = commit(portal, main, WORKFLOW, "on: pull_request\n")
    assert portal.refused("POST", "git/refs", {"ref": "refs/heads/edit", "sha": sha})[0] == 403


def test_lists_come_in_pages(hub: GitHub, portal: Api) -> None:
    for n in range(3):
        hub.push(f"b{n}", {"n.txt": str(n).encode()})
    first = portal("GET", "git/matching-refs/heads/b?per_page=2")
    assert len(first.json()) == 2
    assert 'page=2>; rel="next"' in first.headers["link"]
    assert len(portal.made("GET", "git/matching-refs/heads/b?per_page=2&page=2")) == 1
