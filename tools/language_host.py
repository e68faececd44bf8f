"""The Python language host, `pulumi-language-python`, for a Pulumi CLI that came without the official one.

Owns: Pulumi's LanguageRuntime protocol as far as a program and a policy pack of an installed environment need it, and
the lives of the processes it starts. Leaves out: what runs in them (language_program); generating code, templates and
installing packages, which `make` does.

The engine starts one host and holds the other end of its standard input: when that closes, the engine is gone, also
after a `kill -9`, and the host ends with everything that it started.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import queue
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import IO

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from tools.language_program import ERROR_ALREADY_SHOWN, ProgramRun

STOP_GRACE_SECONDS = 0.2
TERMINATE_SECONDS = 2.0
MAXIMUM_MESSAGE_BYTES = 400 * 1024 * 1024  # as the SDK's own channels
WORKERS = 32  # a policy pack holds one for as long as it runs


class Children:
    """Processes that end when they are no longer wanted, and all of them when the host ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def start(
        self, arguments: list[str], directory: str, environment: Mapping[str, str], piped: bool
    ) -> subprocess.Popen[bytes]:
        """Run our own program module; a group of its own, so that only the host decides about signals to it."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the language host is ending")
            process = subprocess.Popen(
                [sys.executable, "-P", "-u", "-m", "tools.language_program", *arguments],
                cwd=directory,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if piped else None,
                stderr=subprocess.PIPE if piped else None,
                process_group=0,
            )
            self._running.add(process)
            return process

    def wait(self, process: subprocess.Popen[bytes]) -> int:
        code = process.wait()
        with self._lock:
            self._running.discard(process)
        if process.stdin:
            process.stdin.close()
        return code

    @staticmethod
    def stop(process: subprocess.Popen[bytes]) -> None:
        if process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(TERMINATE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            running = list(self._running)
        for process in running:
            self.stop(process)


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Method names and messages are the protocol's (pulumi/language.proto)."""

    def __init__(self, engine_address: str, children: Children) -> None:
        self._engine_address = engine_address
        self._children = children

    def Handshake(
        self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        self._engine_address = request.engine_address or self._engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=importlib.metadata.version("pulumi"))

    def GetRequiredPackages(
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        """None ahead of time: each resource names its provider and version when it is registered."""
        return language_pb2.GetRequiredPackagesResponse()

    def GetRequiredPlugins(
        self, request: language_pb2.GetRequiredPluginsRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPluginsResponse:
        return language_pb2.GetRequiredPluginsResponse()

    def About(self, request: language_pb2.AboutRequest, context: grpc.ServicerContext) -> language_pb2.AboutResponse:
        return language_pb2.AboutResponse(executable=sys.executable, version=platform.python_version())

    def GetProgramDependencies(
        self, request: language_pb2.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetProgramDependenciesResponse:
        installed = {distribution.name: distribution.version for distribution in importlib.metadata.distributions()}
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=name, version=version) for name, version in sorted(installed.items())
            ]
        )

    def InstallDependencies(
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        yield language_pb2.InstallDependenciesResponse(stdout=b"The virtual environment is made by make.\n")

    def RuntimeOptionsPrompts(
        self, request: language_pb2.RuntimeOptionsRequest, context: grpc.ServicerContext
    ) -> language_pb2.RuntimeOptionsResponse:
        return language_pb2.RuntimeOptionsResponse()

    def Run(self, request: language_pb2.RunRequest, context: grpc.ServicerContext) -> language_pb2.RunResponse:
        run = ProgramRun(
            project=request.project,
            stack=request.stack,
            organization=request.organization or "organization",
            root_directory=request.info.root_directory,
            program=os.path.join(request.info.program_directory, request.info.entry_point),
            directory=request.pwd or request.info.program_directory,
            monitor=request.monitor_address,
            engine=self._engine_address,
            dry_run=request.dryRun,
            parallel=request.parallel,
            arguments=list(request.args),
        )
        environment = {
            **os.environ,
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        try:
            process = self._children.start(["program", run.encode()], run.directory, environment, piped=False)
        except OSError as error:  # a configuration over the kernel's limit for one string (E2BIG) ends here
            return language_pb2.RunResponse(error=f"the program could not be started: {error}")
        context.add_callback(lambda: self._children.stop(process))
        return _response(self._children.wait(process))

    def RunPlugin(
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        if request.kind != "analyzer":
            context.abort(
                grpc.StatusCode.UNIMPLEMENTED, f"expected a policy pack (analyzer), got kind {request.kind!r}"
            )
        environment = {name: value for name, _, value in (entry.partition("=") for entry in request.env)}
        arguments = ["policy-pack", *request.args, request.info.program_directory]
        process = self._children.start(arguments, request.pwd, environment or os.environ, piped=True)
        if not context.add_callback(lambda: self._children.stop(process)):
            self._children.stop(process)
        yield from _stream(process)
        yield language_pb2.RunPluginResponse(exitcode=self._children.wait(process))


def _response(code: int) -> language_pb2.RunResponse:
    if code == 0:
        return language_pb2.RunResponse()
    if code == ERROR_ALREADY_SHOWN:
        return language_pb2.RunResponse(bail=True)
    if code < 0:
        return language_pb2.RunResponse(error=f"Program was ended by {signal.Signals(-code).name}")
    return language_pb2.RunResponse(error=f"Program exited with non-zero exit code: {code}")


def _stream(process: subprocess.Popen[bytes]) -> Iterator[language_pb2.RunPluginResponse]:
    """Both outputs as they come, until both have ended."""
    parts: queue.SimpleQueue[language_pb2.RunPluginResponse | None] = queue.SimpleQueue()

    def read(file: IO[bytes], is_output: bool) -> None:
        while data := os.read(file.fileno(), 65536):
            response = language_pb2.RunPluginResponse
            parts.put(response(stdout=data) if is_output else response(stderr=data))
        file.close()
        parts.put(None)

    outputs = [(file, is_output) for file, is_output in ((process.stdout, True), (process.stderr, False)) if file]
    for output in outputs:
        threading.Thread(target=read, args=output, daemon=True).start()
    for _ in outputs:
        yield from iter(parts.get, None)


def _watch_engine(gone: threading.Event) -> None:
    """The engine gives its plugins a pipe as standard input and holds the other end; attached by hand there is none."""
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        while os.read(0, 4096):
            pass
        gone.set()


def serve(engine_address: str) -> None:
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=_watch_engine, args=(stop,), daemon=True, name="watch-engine").start()
    children = Children()
    server = grpc.server(
        ThreadPoolExecutor(max_workers=WORKERS),
        options=[
            ("grpc.max_receive_message_length", MAXIMUM_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAXIMUM_MESSAGE_BYTES),
        ],
    )
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageHost(engine_address, children), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    stop.wait()
    children.close()
    server.stop(STOP_GRACE_SECONDS).wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="pulumi-language-python", description="Started by the Pulumi engine.")
    parser.add_argument("engine_address", nargs="?", default="")
    parser.add_argument("--tracing", help=argparse.SUPPRESS)
    parser.add_argument("--logtostderr", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--logflow", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-v", type=int, default=0, help=argparse.SUPPRESS)
    arguments, _ = parser.parse_known_args()
    serve(arguments.engine_address)


if __name__ == "__main__":
    main()
