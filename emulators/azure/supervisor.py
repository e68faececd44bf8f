"""The supervisor: one process for each emulated cloud that owns all others, and makes them match the store.

Leader of its own POSIX session; holds `supervisor/lock` for life. Serves the data planes itself (managed identity,
vaults, blobs, ingress) and runs databases, container apps and the other emulators as children. Ends with the last
resource, after removing what was made at run time. If it is killed, its reaper ends the children; the next supervisor
starts from the store. `python -m emulators.azure.supervisor`.
"""

import asyncio
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from emulators import tls
from emulators.azure import certificates, layout, reaper
from emulators.azure.client import child_environment
from emulators.azure.container_apps import ContainerApp, Platform
from emulators.azure.control import Control
from emulators.azure.data_planes import DataPlanes
from emulators.azure.errors import AzureError
from emulators.azure.images import Images
from emulators.azure.postgres import PostgresServer, Template, Wanted
from emulators.azure.processes import Children
from emulators.azure.services import Service, Services, host_names, services_of
from emulators.azure.store import Contents, Store
from emulators.azure.supervisor_ids import owner_of
from emulators.hosting import configure_logs
from emulators.state import state_folder, write_private
from emulators.world import World, load_world

RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
SERVER, APP, VAULT, ACCOUNT = (
    "microsoft.dbforpostgresql/flexibleservers",
    "microsoft.app/containerapps",
    "microsoft.keyvault/vaults",
    "microsoft.storage/storageaccounts",
)
OWNED = (VAULT, ACCOUNT, SERVER, APP)


class Supervisor:
    """`services` and `tree` (the project whose image can be run) are the world's and the repository's by default."""

    def __init__(
        self, state: Path, world: World, *, services: Sequence[Service] | None = None, tree: Path = layout.REPOSITORY
    ) -> None:
        self.state, self.store, self.world = state, Store(state), world
        self.log = configure_logs("supervisor")
        self.children = Children(state)
        self.services = Services(state, self.children, services_of(world) if services is None else services)
        self.template = Template(state)
        self.servers: dict[str, PostgresServer] = {}
        self.apps: dict[str, ContainerApp] = {}
        tenant_id = world.entra.registrations[0].home_tenant_id
        groups = world.entra.groups_of(tenant_id)
        self.planes = DataPlanes(state, tenant_id, self._on_database_token, groups)
        # Like a kubelet's, each probe is a new connection.
        probes = httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
        self.platform = Platform(
            state,
            self.children,
            Images(state, tree),
            self.planes.identities,
            self.planes.principal_of,
            probes,
            lambda certificate_id, host: certificates.context_of(state, self.store.read(), certificate_id, host),
        )
        self.problems: dict[str, str] = {}
        self._came_up: set[str] = set()
        self._locks: dict[str, asyncio.Lock] = {}
        self._retries: dict[str, asyncio.Task[None]] = {}
        self._ending = asyncio.Event()
        self._last = False
        self._control = Control(self)

    async def run(self) -> None:
        """Until the last resource is gone, or SIGTERM."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._ending.set)
        keeper = asyncio.create_task(self._keep_reaper())
        tls.ensure_leaf(self.state, host_names(self.world))
        await self.planes.start()
        await self._control.start()
        beginning = asyncio.create_task(self._begin())
        self.log.info("started", pid=os.getpid())
        first = asyncio.create_task(self.reconcile(["*"]))
        await self._ending.wait()
        await self._control.stop()
        first.cancel()
        await asyncio.wait({beginning})
        await self._stop_all()
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
        if self._last:
            layout.remove_what_was_made(self.state)
        self.log.info("ended", last_resource_gone=self._last)

    async def _begin(self) -> None:
        """What resources will need, in the order in which they come: databases, then apps, which need the services."""
        with suppress(AzureError):  # the first server that needs the template says what is wrong
            await asyncio.shield(self.template.begin())
        self.services.begin()
        await asyncio.to_thread(self.platform.images.prepare)

    # --- what must be, and making it so -------------------------------------------------------------------------

    async def reconcile(self, wait: Sequence[str]) -> dict[str, Any]:
        """Bring processes in line with the store; answers for the ids of `wait`, once they are settled."""
        contents = self.store.read()
        if not contents.resources:
            self._last = True
            self._ending.set()
            return {"resources": {}, "services": {}, "ended": True}
        await self._remove_what_is_gone(contents)
        wanted = {arm["id"].lower() for kind in OWNED for arm in contents.of_type(kind)}
        asked = wanted if "*" in wait else {owner_of(arm_id) for arm_id in wait} & wanted
        outcomes = await asyncio.gather(*(self._settle(key, contents) for key in asked))
        if any(contents.resources[key]["type"].lower() == APP for key in asked) or "*" in wait:
            try:
                await self.services.wait_up()
            except AzureError as e:
                outcomes = [(key, e) for key in asked] or [("services", e)]
        return {"resources": dict(map(_outcome, outcomes)), "services": self.services.states()}

    async def _settle(self, key: str, contents: Contents) -> tuple[str, AzureError | None]:
        """One attempt to bring one resource up as the store has it now."""
        retry = self._retries.pop(key, None)
        if retry is not None:
            retry.cancel()
        async with self._locks.setdefault(key, asyncio.Lock()):
            try:
                await self._apply(key)
            except AzureError as e:
                self.problems[key] = e.message
                self.log.warning("not up", resource=key, code=e.code)
                self._retries[key] = asyncio.create_task(self._retry(key))
                return key, e
            except Exception as e:
                self.problems[key] = f"{type(e).__name__}: {e}"
                self.log.exception("broken", resource=key)
                return key, AzureError(500, "InternalServerError", self.problems[key])
            self.problems.pop(key, None)
            self._came_up.add(key)
            return key, None

    async def _apply(self, key: str) -> None:
        contents = self.store.read()
        arm = contents.get(key)
        if arm is None:
            return
        kind = arm["type"].lower()
        if kind == VAULT:
            await self.planes.open_vault(arm)
        elif kind == ACCOUNT:
            await self.planes.open_account(arm)
        elif kind == SERVER:
            await self._apply_server(key, arm, contents)
        else:
            await self._dependencies(key, contents)
            app = self.apps.setdefault(key, ContainerApp(self.platform, arm["name"]))
            await app.apply(arm)

    async def _apply_server(self, key: str, arm: Mapping[str, Any], contents: Contents) -> None:
        port = int(arm["properties"]["fullyQualifiedDomainName"].rpartition(":")[2])
        if key not in self.servers:
            self.servers[key] = PostgresServer(self.state, arm["name"], port, self.children, self.template)
        server = self.servers[key]
        await server.start()
        await server.apply(wanted_in(key, contents))
        await server.revoke(
            {
                *self.planes.object_ids(),
                *(object_id for object_id, _ in wanted_in(key, contents).administrators.values()),
            }
        )

    async def _dependencies(self, key: str, contents: Contents) -> None:
        """An app starts after the databases, vaults and accounts of its group."""
        group = key.split("/providers/")[0]
        kinds = [arm for kind in (VAULT, ACCOUNT, SERVER) for arm in contents.of_type(kind)]
        near = [arm["id"].lower() for arm in kinds if arm["id"].lower().startswith(group + "/")]
        await asyncio.gather(*(self._settle(k, contents) for k in near if k not in self._came_up))

    async def _retry(self, key: str) -> None:
        """Come back to what failed, for as long as it is wanted: what it lacked may have come."""
        for seconds in (*RETRY_SECONDS, *[RETRY_SECONDS[-1]] * 1000):
            await asyncio.sleep(seconds)
            async with self._locks.setdefault(key, asyncio.Lock()):
                with suppress(AzureError):
                    await self._apply(key)
                    self.problems.pop(key, None)
                    return

    async def _remove_what_is_gone(self, contents: Contents) -> None:
        present = contents.resources
        gone_servers = [self.servers.pop(key) for key in list(self.servers) if key not in present]
        gone_apps = [self.apps.pop(key) for key in list(self.apps) if key not in present]
        self._came_up &= present.keys()
        for key in [key for key in self._retries if key not in present]:
            self._retries.pop(key).cancel()
            self.problems.pop(key, None)
        await asyncio.gather(*(app.stop() for app in gone_apps))
        await asyncio.gather(*(server.delete() for server in gone_servers))
        await self.planes.close_except(present)

    async def _on_database_token(self, object_id: str, token: str, expires: int) -> None:
        running = [server for server in self.servers.values() if server.alive]
        with suppress(AzureError, OSError):
            await asyncio.gather(*(server.grant(object_id, token, expires) for server in running))

    # --- the whole ----------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        contents = self.store.read()
        owned = [arm for kind in OWNED for arm in contents.of_type(kind)]
        return {
            "pid": os.getpid(),
            "processes": self.children.running,
            "resources": {arm["id"]: self.problems.get(arm["id"].lower(), "ready") for arm in owned},
            "services": self.services.states(),
        }

    async def _stop_all(self) -> None:
        for retry in self._retries.values():
            retry.cancel()
        await asyncio.gather(*(app.stop() for app in self.apps.values()), self.services.stop())
        await asyncio.gather(*((s.delete() if self._last else s.stop()) for s in self.servers.values()))
        await self.planes.stop()
        await self.platform.probes.aclose()
        self.template.begin().cancel()

    async def _keep_reaper(self) -> None:
        """A reaper at all times; on our orderly end it is told that nothing is left to do."""
        process: asyncio.subprocess.Process | None = None
        try:
            while True:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "emulators.azure.reaper"),
                    stdin=asyncio.subprocess.PIPE,
                    env=child_environment(self.state),
                    cwd=layout.REPOSITORY,
                    process_group=0,
                )
                await process.wait()
                await asyncio.sleep(0.2)
        finally:
            if process is not None and process.returncode is None and process.stdin is not None:
                with suppress(ConnectionError):
                    process.stdin.write(b"\n")
                    await process.stdin.drain()
                await process.wait()


def wanted_in(server_id: str, contents: Contents) -> Wanted:
    """What the store says is in a server."""
    administrators: dict[str, tuple[str, str]] = {}
    databases: dict[str, tuple[str, str]] = {}
    configurations: dict[str, str] = {}
    kinds = {"ServicePrincipal": "service", "User": "user", "Group": "group"}
    for arm in contents.below(server_id):
        properties, kind = arm["properties"], arm["type"].lower().rsplit("/", 1)[1]
        if kind == "administrators":
            object_type = kinds.get(properties.get("principalType", ""), "user")
            administrators[properties["principalName"]] = (arm["name"], object_type)
        elif kind == "databases":
            databases[arm["name"]] = (properties.get("charset", "UTF8"), properties.get("collation", "en_US.utf8"))
        elif kind == "configurations" and properties.get("value") is not None:
            configurations[arm["name"]] = str(properties["value"])
    return Wanted(administrators, databases, configurations)


def _outcome(outcome: tuple[str, AzureError | None]) -> tuple[str, dict[str, Any]]:
    key, error = outcome
    if error is None:
        return key, {"state": "ready"}
    return key, {"state": "failed", "status": error.status, "code": error.code, "error": error.message}


# --- being the only one -----------------------------------------------------------------------------------------


def become_the_supervisor(state: Path) -> Callable[[], None] | None:
    """Hold the lock and end what a killed predecessor left; None if another supervisor lives and stays."""
    folder = layout.supervisor_folder(state)
    layout.logs_folder(state).mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + 30.0
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:  # another one, or one that is about to end, or somebody who only looks
            if _answers(folder) or time.monotonic() > deadline:
                os.close(descriptor)
                return None
            time.sleep(0.05)
    record_file = folder / "supervisor.pid"
    with suppress(FileNotFoundError, json.JSONDecodeError, KeyError):
        before = json.loads(record_file.read_text())
        left = reaper.session_members(before["pid"]) if before["pid"] != os.getpid() else []
        if any(_has_marker(process, state) for process in left):
            reaper.end_session(before["pid"])
    me = psutil.Process()
    write_private(record_file, json.dumps({"pid": me.pid, "create_time": me.create_time()}).encode())

    def release() -> None:
        for name in ("supervisor.pid", "children.json", "control.sock"):
            (folder / name).unlink(missing_ok=True)
        os.close(descriptor)

    return release


def _answers(folder: Path) -> bool:
    try:
        layout.connect(folder / "control.sock", 1.0).close()
        return True
    except OSError:
        return False


def _has_marker(process: psutil.Process, state: Path) -> bool:
    try:
        return process.environ().get("TEAMS_EHR_CONNECTOR_STATE") == str(state)
    except psutil.Error:
        return False


def main() -> None:
    state = state_folder()
    if os.getsid(0) != os.getpid():
        os.setsid()
    release = become_the_supervisor(state)
    if release is None:
        return
    try:
        asyncio.run(Supervisor(state, load_world()).run())
    finally:
        reaper.end_session(os.getpid())
        release()
        os._exit(0)  # at once: whoever waits for our end waits for the process


if __name__ == "__main__":
    main()
