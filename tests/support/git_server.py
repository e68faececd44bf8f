"""A git remote over https on the loopback: a bare repository behind basic authentication."""

import base64
import ssl
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, cast
from wsgiref.simple_server import WSGIServer, make_server

from dulwich.repo import Repo
from dulwich.server import DEFAULT_HANDLERS, DictBackend, ReceivePackHandler
from dulwich.web import WSGIRequestHandlerLogger, make_wsgi_chain

from emulators import tls

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandlerLogger):
    def log_message(self, format: str, *_: Any) -> None:
        pass


class _ComparingReceivePack(ReceivePackHandler):
    """dulwich's takes no notice when a ref is no longer what the client saw; git answers `ng`."""

    def _on_update(self, ref_name: Any, old_sha: Any, new_sha: Any) -> bytes | None:
        return b"fetch first" if self.repo.refs.as_dict().get(ref_name, b"0" * 40) != old_sha else None


_HANDLERS: Any = {**DEFAULT_HANDLERS, b"git-receive-pack": _ComparingReceivePack}


@dataclass
class GitServer:
    url: str
    ca_bundle: str
    asked: list[str] = field(default_factory=list[str])
    redirect_to: str | None = None


@contextmanager
def git_server(folder: Path, state: Path, token: str) -> Generator[GitServer]:
    """Serves the bare repository as `/repository.git` to whoever brings the token."""
    pem, key = tls.ensure_leaf(state, ["localhost", "127.0.0.1"])
    backend = DictBackend({"/repository.git": Repo(str(folder))})
    git = cast(Application, make_wsgi_chain(cast(Any, backend), handlers=_HANDLERS))
    one_at_a_time = threading.Lock()
    expected = "Basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()

    def application(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        server.asked.append(environ["PATH_INFO"])
        if environ.get("HTTP_AUTHORIZATION") != expected:
            start("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="git"')])
            return [b""]
        if server.redirect_to:
            start("302 Found", [("Location", server.redirect_to + environ["PATH_INFO"])])
            return [b""]
        with one_at_a_time:
            return [b"".join(git(environ, start))]

    listening = make_server("127.0.0.1", 0, application, _Server, _Quiet)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    server = GitServer(f"https://127.0.0.1:{listening.server_port}/repository.git", str(tls.ca_certificate(state)))
    thread = threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
