"""The local stack's life: up with credentials, left running, down with nothing left.

Owns `connector up`, `down` and `env`. The engine is in `engine.py`, getting over kills in `recovery.py`.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from emulators.azure import client
from emulators.azure.errors import SupervisorUnavailable
from emulators.world import World, load_world
from schemas.stack_config import StackConfig
from schemas.vocabulary import Cloud, GeographyName
from workflow import recovery, session
from workflow.credentials import seeding
from workflow.engine import Engine, Report, read_checkpoint, resources_of
from workflow.errors import EngineFailed
from workflow.project import Project
from workflow.promotion.lists import begin_lists
from workflow.workspace import ensure_repository

if TYPE_CHECKING:
    from rich.table import Table

LOOK_SECONDS = 0.5


@dataclass
class Local:
    """One emulated stack of a project, and how long its phases took."""

    project: Project
    stack: str
    report: Report
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        self._engine: Engine | None = None
        self._refresh: bool | None = None
        self.reload()

    def reload(self) -> None:
        """Read the configuration, which may have changed. Raises `StackInvalid`, `NotEmulated`."""
        self.config, warnings = self.project.emulated(self.stack)
        for warning in warnings:
            self.report(str(warning))

    @property
    def engine(self) -> Engine:
        """Found or built when first needed, which may take minutes."""
        if self._engine is None:
            self._engine = Engine(self.project, self.stack, self.report)
        return self._engine

    @contextmanager
    def phase(self, name: str) -> Generator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - began, 2)

    def prepare(self) -> None:
        """Recover from what was killed; the next update refreshes where it must."""
        with self.phase("prepare"):
            self._refresh = recovery.recover(self.engine)

    def up(self) -> None:
        """Recover, where that has not been done, update, seed the vaults, and begin the lists of revocations."""
        if self._refresh is None:
            self.prepare()
        refresh, self._refresh = bool(self._refresh), None
        ensure_repository(self.project, self.config)
        self.report(f"stack {self.stack}: pulumi up")
        credentials: list[str] = []
        lists: list[str] = []
        with self.phase("up"), seeding(self.project.state, self.config, credentials, [self._begin(lists)]):
            self.engine.up(refresh=refresh)
        seconds = f"{self.seconds['up']:.1f} s"
        self.report(f"stack {self.stack}: up in {seconds}, {len(credentials)} credentials put into vaults")
        for line in lists:
            self.report(line)

    def _begin(self, told: list[str]) -> Callable[[GeographyName], list[str]]:
        """Publishes a geography's list of revocations where its channel has none in force: without, no launches."""

        def begin(geography: GeographyName) -> list[str]:
            told.extend(asyncio.run(begin_lists(self.project, self.config, [geography])))
            return []

        return begin

    def down(self) -> None:
        """Recover, destroy; whatever fails, nothing of this stack is left in the emulated cloud."""
        with self.phase("down"):
            recovery.recover(self.engine)
            try:
                if resources_of(read_checkpoint(self.engine.checkpoint_file)):
                    self.engine.destroy()
            except EngineFailed as problem:
                self.report(f"{problem}; emptying the emulated cloud without the engine\n{problem.advice}")
                self._empty()
            if not self._others():
                client.wait_until_ended(self.project.state)
        self.report(f"stack {self.stack}: nothing is left")

    def _empty(self) -> None:
        """Without the engine: forget what only this stack knows, and its state."""
        self.engine.checkpoint_file.unlink(missing_ok=True)
        recovery.forget_unknown(self.engine)

    def _others(self) -> bool:
        """Whether another stack of the same emulated cloud still has resources."""
        files = self.engine.checkpoint_file.parent.glob("*.json")
        return any(r["type"].startswith("azure-native:") for f in files for r in resources_of(read_checkpoint(f)))


def up(project: Project, stack: str, report: Report, show: "Callable[[Table], None]") -> None:
    """Up, and running until interrupted; then nothing is left."""
    with session.one_interrupt(), session.exclusive(project.state, f"up {stack}"):
        local = Local(project, stack, report)
        try:
            local.up()
            show(addresses(local.config, load_world(), project))
            report("running; Ctrl-C stops everything")
            _keep_running(project, report)
        except KeyboardInterrupt:
            report("stopping")
        finally:
            local.down()


def _keep_running(project: Project, report: Report) -> None:
    """Until interrupted; a supervisor that was killed is started again."""
    while True:
        if not client.is_running(project.state):
            report("the supervisor is gone; starting it again")
            with suppress(SupervisorUnavailable):
                client.reconcile(project.state, ["*"])
                report("running again")
        time.sleep(LOOK_SECONDS)


def down(project: Project, stacks: list[str], report: Report) -> None:
    """End a running `up` or `demo`, destroy every emulated stack that has state, and the supervisor with them."""
    if session.is_held(project.state):
        report("ending the command that runs here")
        session.end_other(project.state)
    with session.one_interrupt(), session.exclusive(project.state, "down"):
        folder = project.state / "pulumi" / ".pulumi" / "stacks"
        known = {f.stem for f in folder.rglob("*.json")} if folder.is_dir() else set[str]()
        wanted = [s for s in (stacks or project.stacks()) if s in known and _is_emulated(project, s)]
        for stack in wanted:
            Local(project, stack, report).down()
        if not wanted:
            client.forget(project.state, [])
            client.stop(project.state)
            report("nothing was running here")


def _is_emulated(project: Project, stack: str) -> bool:
    loaded = project.load(stack)
    return loaded.stack is not None and loaded.stack.cloud is Cloud.EMULATED


def env(project: Project, stack: str, report: Report) -> str:
    """Exports for a shell. Recovers the stack first, unless a command is at work on it."""
    engine = Local(project, stack, report).engine
    if session.is_held(project.state):
        engine.prepare()
    else:
        with session.exclusive(project.state, f"env {stack}"):
            recovery.recover(engine)
    return engine.exports()


def addresses(config: StackConfig, world: World, project: Project) -> "Table":
    """What there is to open in a browser."""
    from rich.table import Table

    table = Table("where", "what", title_justify="left")
    table.add_column("address", overflow="fold")
    table.title = f"certificates: {project.state / 'ca' / 'ca.pem'}"
    ehrs = {ehr.organization: ehr for ehr in world.ehrs}
    for organization in config.organizations:
        rows: dict[str, str] = {}
        ehr = ehrs.get(organization.id)
        if ehr is not None:
            query = f"?environment={config.stage}"
            rows = {"provider": f"{ehr.url}/hyperspace{query}", "patient": f"{ehr.url}/mychart{query}"}
        rows |= {f"launch URL, {party}": url for party, url in launch_urls(config, organization.id).items()}
        for n, (what, address) in enumerate(rows.items()):
            table.add_row("" if n else f"{organization.name} ({organization.geography})", what, address)
    endpoints = config.microsoft365.endpoints
    table.add_row("Microsoft 365", "Entra", endpoints.entra_url)
    table.add_row("", "Graph, Teams room", endpoints.graph_url)
    for name, geography in config.geographies.items():
        host = geography.public_hosts.of(config.stage)
        table.add_row(f"connector ({name})", "readiness", f"https://{host}/readyz")
    return table


def launch_urls(config: StackConfig, organization_id: str) -> dict[str, str]:
    """What goes into the EHR's integration records of an organisation's connection of this stage."""
    for organization in config.organizations:
        if organization.id == organization_id:
            host = config.geographies[organization.geography].public_hosts.of(config.stage)
            for connection in organization.connections:
                if connection.stage is config.stage:
                    return {p: f"https://{host}/launch/{p}/{connection.id}" for p in ("provider", "patient")}
    return {}
