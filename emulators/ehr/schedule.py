"""Patients, today's appointments and their connection status, for each stage.

Owns CSNs (contact serial numbers: Epic's key of an appointment) and telling watching pages that a status changed.
"""

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date

from emulators.world import Ehr, EhrUser
from schemas.vocabulary import Stage

DEPARTMENTS = {"10501": "Family Medicine", "10502": "Pediatrics", "10503": "Behavioral Health"}
"""Departments of every emulated EHR; an appointment without one is `NONE` in a record that asks for it."""


@dataclass(frozen=True)
class Patient:
    id: str
    name: str
    birth_date: str


@dataclass(frozen=True)
class Connection:
    external_id_type: str
    external_id: str
    status: str


@dataclass(frozen=True)
class Appointment:
    csn: str
    provider: EhrUser
    patient: Patient
    time: str
    department: str | None
    connections: tuple[Connection, ...]

    @property
    def encounter(self) -> str:
        """The Encounter's FHIR id: stable, and not the CSN."""
        return "e" + hashlib.sha256(f"encounter {self.csn}".encode()).hexdigest()[:24]

    @property
    def department_name(self) -> str:
        return DEPARTMENTS.get(self.department or "", self.department or "")

    def status_of(self, external_id_type: str) -> str | None:
        """What Hyperspace shows for one side: connected while anybody of it is."""
        statuses = [c.status for c in self.connections if c.external_id_type == external_id_type]
        return "Connected" if "Connected" in statuses else next(iter(statuses), None)


class Schedule:
    """The appointments of one EHR; those of the world file are there from the start, in both stages."""

    def __init__(self, ehr: Ehr, database: sqlite3.Connection) -> None:
        self._ehr, self._database = ehr, database
        self._users = {user.id: user for user in ehr.users}
        self._watching: set[asyncio.Queue[tuple[Stage, str]]] = set()
        for stage in (environment.stage for environment in ehr.environments):
            for patient in ehr.patients:
                self._add_patient(stage, Patient(patient.id, patient.name, patient.birth_date.isoformat()))
            for a in ehr.appointments:
                self._add_appointment(stage, a.csn, a.provider, a.patient, a.time, None)

    # --- people ---

    @property
    def users(self) -> tuple[EhrUser, ...]:
        return self._ehr.users

    def user(self, id: str) -> EhrUser | None:
        return self._users.get(id)

    def patients(self, stage: Stage) -> list[Patient]:
        rows = self._database.execute("SELECT * FROM patient WHERE stage = ? ORDER BY rowid", (stage,))
        return [_patient(row) for row in rows]

    def patient(self, stage: Stage, id: str) -> Patient | None:
        row = self._database.execute("SELECT * FROM patient WHERE stage = ? AND id = ?", (stage, id)).fetchone()
        return None if row is None else _patient(row)

    def register(self, stage: Stage, name: str, birth_date: date, id: str | None = None) -> Patient:
        """A new patient, by the given id or a new one."""
        count = self._database.execute("SELECT count(*) FROM patient WHERE stage = ?", (stage,)).fetchone()[0]
        patient = Patient(id or f"P-NEW-{count + 1}", name, birth_date.isoformat())
        self._add_patient(stage, patient)
        return patient

    # --- appointments ---

    def appointments(
        self, stage: Stage, *, provider: str | None = None, patient: str | None = None
    ) -> list[Appointment]:
        rows = self._database.execute(
            "SELECT * FROM appointment WHERE stage = ? AND (? IS NULL OR provider = ?) AND (? IS NULL OR patient = ?)"
            " ORDER BY time, csn",
            (stage, provider, provider, patient, patient),
        ).fetchall()
        return [self._appointment(stage, row) for row in rows]

    def appointment(self, stage: Stage, csn: str) -> Appointment | None:
        row = self._database.execute("SELECT * FROM appointment WHERE stage = ? AND csn = ?", (stage, csn)).fetchone()
        return None if row is None else self._appointment(stage, row)

    def book(self, stage: Stage, provider: EhrUser, patient: Patient, time: str, department: str | None) -> str:
        """The CSN of a new appointment, unlike any of either stage."""
        highest = self._database.execute("SELECT max(CAST(csn AS INTEGER)) FROM appointment").fetchone()[0]
        csn = str((highest or 0) + 1)
        self._add_appointment(stage, csn, provider.id, patient.id, time, department)
        return csn

    def _add_patient(self, stage: Stage, patient: Patient) -> None:
        self._database.execute(
            "INSERT OR IGNORE INTO patient VALUES (?, ?, ?, ?)", (stage, patient.id, patient.name, patient.birth_date)
        )

    def _add_appointment(
        self, stage: Stage, csn: str, provider: str, patient: str, time: str, department: str | None
    ) -> None:
        self._database.execute(
            "INSERT OR IGNORE INTO appointment VALUES (?, ?, ?, ?, ?, ?)",
            (stage, csn, provider, patient, time, department),
        )

    def _appointment(self, stage: Stage, row: sqlite3.Row) -> Appointment:
        patient = self.patient(stage, row["patient"])
        assert patient is not None, "appointments are made for registered patients only"
        connections = self._database.execute(
            "SELECT * FROM connection WHERE stage = ? AND csn = ? ORDER BY rowid", (stage, row["csn"])
        )
        return Appointment(
            csn=row["csn"],
            provider=self._users[row["provider"]],
            patient=patient,
            time=row["time"],
            department=row["department"],
            connections=tuple(Connection(c["external_id_type"], c["external_id"], c["status"]) for c in connections),
        )

    # --- connection status ---

    def set_status(self, stage: Stage, csn: str, connection: Connection) -> None:
        self._database.execute(
            "INSERT INTO connection VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (stage, csn, external_id_type, external_id) DO UPDATE SET status = excluded.status",
            (stage, csn, connection.external_id_type, connection.external_id, connection.status),
        )
        for queue in self._watching:
            queue.put_nowait((stage, csn))

    async def changes(self, stage: Stage, *, heartbeat_seconds: float) -> AsyncIterator[str | None]:
        """CSNs of a stage whose status changes from now on; None when nothing came for a while."""
        queue: asyncio.Queue[tuple[Stage, str]] = asyncio.Queue()
        self._watching.add(queue)
        try:
            while True:
                try:
                    changed, csn = await asyncio.wait_for(queue.get(), heartbeat_seconds)
                except TimeoutError:
                    yield None
                else:
                    if changed is stage:
                        yield csn
        finally:
            self._watching.discard(queue)


def _patient(row: sqlite3.Row) -> Patient:
    return Patient(row["id"], row["name"], row["birth_date"])
