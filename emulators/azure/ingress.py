"""The ingress of a container app: a listener on 127.0.0.1 for each public host, ending TLS, passing bytes to a replica.

Bytes pass unchanged: no header is added or trusted, and nothing is buffered, so that server-sent events flow. Replicas
take turns; while none answers, the client gets 503. Leaves out routing by path, and HTTP/2.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress

from emulators.azure.errors import AzureError

CONNECT_SECONDS = 5.0
UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 28\r\nconnection: close\r\n\r\n"
    b"no replica answers right now"
)


class Ingress:
    """One public host (`name:port`, or `name` for 443) of one app, with what it ends TLS with.

    `replicas` gives the ports that are ready now.
    """

    def __init__(self, host: str, context: ssl.SSLContext, replicas: Callable[[], Sequence[int]]) -> None:
        name, _, port = host.partition(":")
        self.name, self.port = name, int(port or 443)
        self._context, self._replicas = context, replicas
        self._context.set_alpn_protocols(["http/1.1"])
        self._server: asyncio.Server | None = None
        self._turn = 0
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Raises AzureError where the port is taken."""
        if self._server is not None:
            return
        try:
            self._server = await asyncio.start_server(
                self._accepted, "127.0.0.1", self.port, ssl=self._context, ssl_handshake_timeout=10, backlog=1024
            )
        except OSError as e:
            raise AzureError(
                409,
                "PortInUse",
                f"port {self.port} of 127.0.0.1, the public host {self.name}:{self.port}, is taken ({e.strerror}): "
                "end the program that listens there, or give this geography another public host in the stack's "
                "configuration (teams-ehr-connector:geographies, publicHosts or portalHost)",
            ) from None

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                connection.cancel()
            self._server = None

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward = await self._connect()
        if onward is None:
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), CONNECT_SECONDS)
            writer.write(UNAVAILABLE)
            await writer.drain()
            return
        app_reader, app_writer = onward
        try:
            up = asyncio.create_task(_pass(reader, app_writer))
            down = asyncio.create_task(_pass(app_reader, writer))
            try:
                await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
                if up.done() and not down.done():  # the client has sent all: let the answer finish
                    with suppress(OSError):
                        app_writer.write_eof()
                    await asyncio.wait({down}, timeout=CONNECT_SECONDS)
            finally:
                for task in (up, down):
                    task.cancel()
        finally:
            app_writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        deadline = asyncio.get_running_loop().time() + CONNECT_SECONDS
        while True:
            ports = list(self._replicas())
            for _ in ports:
                self._turn += 1
                with suppress(OSError):
                    return await asyncio.open_connection("127.0.0.1", ports[self._turn % len(ports)])
            if asyncio.get_running_loop().time() > deadline:
                return None
            await asyncio.sleep(0.1)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, ssl.SSLError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
