"""The supervisor's control socket: HTTP with JSON over a Unix socket that only its owner can reach.

POST /reconcile {"wait": [ids]}, GET /status, POST /operator-token {"resource": audience}. The client is `client.py`.
"""

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulators.azure import layout
from emulators.azure.data_planes import Server
from emulators.azure.tokens import DATABASE

if TYPE_CHECKING:
    from emulators.azure.supervisor import Supervisor


class Control:
    def __init__(self, supervisor: "Supervisor") -> None:
        self._supervisor = supervisor
        self._file = layout.supervisor_folder(supervisor.state) / "control.sock"
        self._server: Server | None = None
        self._app = Starlette(
            routes=[
                Route("/status", self._status),
                Route("/reconcile", self._reconcile, methods=["POST"]),
                Route("/operator-token", self._operator_token, methods=["POST"]),
            ]
        )

    async def start(self) -> None:
        self._server = await Server.serving(self._app, layout.listen(self._file), None)

    async def stop(self) -> None:
        """No new requests; those under way are answered."""
        self._file.unlink(missing_ok=True)
        if self._server is not None:
            await self._server.stop()

    async def _status(self, request: Request) -> Response:
        return JSONResponse(self._supervisor.status())

    async def _reconcile(self, request: Request) -> Response:
        body = await request.json()
        return JSONResponse(await self._supervisor.reconcile([str(i) for i in body.get("wait", [])]))

    async def _operator_token(self, request: Request) -> Response:
        audience = str((await request.json()).get("resource"))
        try:
            token = self._supervisor.planes.operator_token(audience)
            if audience == DATABASE:
                await self._supervisor.planes.let_into_databases(token)
        except ValueError as e:
            return JSONResponse({"error": str(e)}, 400)
        return JSONResponse({"access_token": token.text, "expires_on": token.expires})
