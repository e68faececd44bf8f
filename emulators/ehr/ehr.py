"""One EHR put together: its instances, schedule, grants and keys, over one state folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from emulators.ehr.client_authentication import ClientAuthenticator
from emulators.ehr.database import open_database
from emulators.ehr.grants import Grants
from emulators.ehr.instance import instances_of
from emulators.ehr.keys import ClientSecrets, SigningKey
from emulators.ehr.schedule import Schedule
from emulators.world import Ehr


class EmulatedEhr:
    """`clock` gives seconds since 1970."""

    def __init__(self, ehr: Ehr, state: Path, clock: Callable[[], float], log: Any) -> None:
        self.ehr, self.clock, self.log = ehr, clock, log
        self.folder = state / "ehr" / ehr.organization
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = open_database(self.folder / "ehr.sqlite3")
        self.instances = instances_of(ehr)
        self.schedule = Schedule(ehr, database)
        self.grants = Grants(database, clock)
        self.signing_key = SigningKey(self.folder / "id-token-key.pem")
        secrets = ClientSecrets(self.folder / "clients", ehr)
        self.authenticator = ClientAuthenticator(secrets, self.grants, state, clock)
