"""The emulated GitHub as one ASGI application: its routes."""

import time
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulators.github import bodies, errors
from emulators.github.authentication import Authentication
from emulators.github.checks import Checks
from emulators.github.git_data import GitData
from emulators.github.merging import Merging
from emulators.github.pulls import Pulls
from emulators.github.requests import Hub, Operation, check_headers, operation, parsed, timestamp
from emulators.github.settings import Settings
from emulators.github.site import Site

Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(site: Site, *, clock: Callable[[], float] = time.time) -> Starlette:
    """GitHub as `site` has been set up; what the API adds to it is in memory."""
    authentication = Authentication(site, clock)
    hub = Hub(site, authentication, clock)
    data, settings = GitData(), Settings()
    pulls = Pulls(data)
    checks = Checks(pulls)
    merging = Merging(pulls, checks)
    operations: list[tuple[str, str, Operation]] = [
        ("GET", "", settings.repository),
        ("GET", "/branches/{branch:path}/protection", settings.protection),
        ("GET", "/branches/{branch:path}", settings.branch),
        ("GET", "/rules/branches/{branch:path}", settings.rules),
        ("GET", "/environments/{environment}", settings.environment),
        ("GET", "/environments/{environment}/deployment-branch-policies", settings.branch_policies),
        ("POST", "/deployments", settings.deploy),
        ("GET", "/deployments", settings.deployments),
        ("GET", "/contents/{path:path}", data.contents),
        ("POST", "/git/blobs", data.create_blob),
        ("GET", "/git/blobs/{sha}", data.blob),
        ("POST", "/git/trees", data.create_tree),
        ("GET", "/git/trees/{sha:path}", data.tree),
        ("POST", "/git/commits", data.create_commit),
        ("GET", "/git/commits/{sha}", data.commit),
        ("GET", "/git/ref/{ref:path}", data.ref),
        ("GET", "/git/matching-refs/{ref:path}", data.matching_refs),
        ("POST", "/git/refs", data.create_ref),
        ("PATCH", "/git/refs/{ref:path}", data.update_ref),
        ("DELETE", "/git/refs/{ref:path}", data.delete_ref),
        ("POST", "/pulls", pulls.create),
        ("GET", "/pulls", pulls.list),
        ("GET", "/pulls/{number}", pulls.get),
        ("PATCH", "/pulls/{number}", pulls.change),
        ("GET", "/pulls/{number}/files", pulls.files),
        ("GET", "/pulls/{number}/commits", pulls.commits),
        ("GET", "/pulls/{number}/reviews", pulls.reviews),
        ("POST", "/pulls/{number}/reviews", pulls.review),
        ("PUT", "/pulls/{number}/reviews/{review}/dismissals", pulls.dismiss),
        ("GET", "/pulls/{number}/merge", merging.merged),
        ("PUT", "/pulls/{number}/merge", merging.merge),
        ("POST", "/check-runs", checks.create_run),
        ("GET", "/check-runs/{run}", checks.run),
        ("PATCH", "/check-runs/{run}", checks.change_run),
        ("GET", "/commits/{sha}/check-runs", checks.runs_of),
        ("GET", "/commits/{sha}/status", checks.status_of),
        ("POST", "/statuses/{sha}", checks.create_status),
        ("GET", "/issues/{number}/comments", checks.comments),
        ("POST", "/issues/{number}/comments", checks.create_comment),
        ("PATCH", "/issues/comments/{comment}", checks.change_comment),
    ]
    routes = [
        Route("/repos/{owner}/{repo}" + path, operation(hub, work), methods=[method])
        for method, path, work in operations
    ]
    return Starlette(
        routes=[*_of_apps(hub), *routes],
        exception_handlers={404: _unknown, 405: _unknown, errors.GitHubError: _refused},
    )


def _of_apps(hub: Hub) -> list[Route]:
    authentication = hub.authentication

    async def app(request: Request) -> Response:
        check_headers(request)
        return JSONResponse(authentication.app(request.headers.get("authorization")).document())

    async def installation_of(request: Request) -> Response:
        check_headers(request)
        caller = authentication.app(request.headers.get("authorization"))
        name = f"{request.path_params['owner']}/{request.path_params['repo']}".lower()
        for found in hub.site.installations.values():
            if found.app is caller and name in {r.lower() for r in found.repositories}:
                return JSONResponse({"id": found.id, "app_id": caller.id, "permissions": dict(caller.permissions)})
        raise errors.not_found()

    async def access_tokens(request: Request) -> Response:
        check_headers(request)
        authorization = request.headers.get("authorization")
        authentication.app(authorization)
        body = parsed(bodies.AccessToken, await request.body())
        document = authentication.installation_token(
            authorization, request.path_params["installation"], body.repositories, body.permissions
        )
        document["repositories"] = [
            {"id": r.id, "full_name": r.full_name}
            for r in hub.site.repositories.values()
            if r.full_name in document["repositories"]
        ]
        document["expires_at"] = timestamp(document["expires_at"])
        return JSONResponse(document, 201)

    async def revoke(request: Request) -> Response:
        check_headers(request)
        authentication.revoke(request.headers.get("authorization"))
        return Response(status_code=204)

    return [
        Route("/app", app),
        Route("/repos/{owner}/{repo}/installation", installation_of),
        Route("/app/installations/{installation}/access_tokens", access_tokens, methods=["POST"]),
        Route("/installation/token", revoke, methods=["DELETE"]),
    ]


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.GitHubError)
    return error.response()


async def _unknown(request: Request, error: Exception) -> Response:
    """What is not emulated, and what does not exist: GitHub answers both alike."""
    return errors.not_found().response()
