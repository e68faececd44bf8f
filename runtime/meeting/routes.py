"""Where Graph calls us: notifications and lifecycle notifications, by unguessable path.

Owns the answers: 200 with the validation token as plain text, 202 once kept (the worker processes it), 404 for a path
that no subscription has, 413 and 400 for what cannot be read, 403 for what is refused, 503 where it could not be judged
or kept (Graph sends again).
"""

from html import escape

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from runtime.bootstrap import services_of
from runtime.logs import log
from runtime.meeting.signing_keys import SigningKeysUnavailable
from runtime.meeting.subscriptions import SubscriptionRow
from runtime.meeting.webhook import NotificationRefused, accept_lifecycle, accept_notifications, known, parse

MAXIMUM_BYTES = 1024 * 1024
MAXIMUM_TOKEN_CHARACTERS = 4096


def routes() -> list[Route]:
    return [
        Route("/graph/notifications/{path}", notifications, methods=["POST"]),
        Route("/graph/lifecycle/{path}", lifecycle, methods=["POST"]),
    ]


async def notifications(request: Request) -> Response:
    """Change notifications of one meeting."""
    services = services_of(request)
    subscription = await known(services, request.path_params["path"])
    early = _early_answer(request, subscription)
    if early is not None or subscription is None:
        return early or _answer(404)
    body = await _body(request)
    if body is None:
        return _answer(413)
    try:
        await accept_notifications(services, subscription, parse(body))
    except NotificationRefused as refused:
        return _refused(subscription, refused)
    except SigningKeysUnavailable:
        return _answer(503)
    return _answer(202)


async def lifecycle(request: Request) -> Response:
    """What happens to the subscription itself."""
    services = services_of(request)
    subscription = await known(services, request.path_params["path"])
    early = _early_answer(request, subscription)
    if early is not None or subscription is None:
        return early or _answer(404)
    body = await _body(request)
    if body is None:
        return _answer(413)
    try:
        await accept_lifecycle(services, subscription, parse(body))
    except NotificationRefused as refused:
        return _refused(subscription, refused)
    except SigningKeysUnavailable:
        return _answer(503)
    return _answer(202)


def _early_answer(request: Request, subscription: SubscriptionRow | None) -> Response | None:
    """The validation handshake, for paths that we gave to Graph.

    The token comes back as plain text that no browser may take for anything else, and escaped, as Graph's rules ask:
    Microsoft's own tokens have nothing to escape.
    """
    if subscription is None:
        return _answer(404)
    token = request.query_params.get("validationToken")
    if token is None:
        return None
    if len(token) > MAXIMUM_TOKEN_CHARACTERS:
        return _answer(400)
    return PlainTextResponse(escape(token, quote=False))


def _refused(subscription: SubscriptionRow, refused: NotificationRefused) -> Response:
    log.warning("notification-refused", subscription=str(subscription.id), reason=str(refused))
    malformed = str(refused) in ("not-json", "no-items", "malformed-item", "malformed-tokens")
    return _answer(400 if malformed else 403)


def _answer(status: int) -> Response:
    return Response(status_code=status)


async def _body(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAXIMUM_BYTES:
            return None
    return bytes(body)
