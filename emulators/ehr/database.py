"""What an EHR remembers between restarts: one SQLite file in the state folder, 0600.

Owns the tables; `schedule.py` and `grants.py` own what is in them. Only the event loop's thread uses the connection.
"""

import os
import sqlite3
from pathlib import Path

_TABLES = """
CREATE TABLE IF NOT EXISTS patient (
    stage TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, birth_date TEXT NOT NULL, PRIMARY KEY (stage, id)
);
CREATE TABLE IF NOT EXISTS appointment (
    stage TEXT NOT NULL, csn TEXT NOT NULL, provider TEXT NOT NULL, patient TEXT NOT NULL, time TEXT NOT NULL,
    department TEXT, PRIMARY KEY (stage, csn)
);
CREATE TABLE IF NOT EXISTS connection (
    stage TEXT NOT NULL, csn TEXT NOT NULL, external_id_type TEXT NOT NULL, external_id TEXT NOT NULL,
    status TEXT NOT NULL, PRIMARY KEY (stage, csn, external_id_type, external_id)
);
CREATE TABLE IF NOT EXISTS handed_out (
    kind TEXT NOT NULL, hash BLOB NOT NULL, content TEXT NOT NULL, expires_at REAL NOT NULL,
    used INTEGER NOT NULL DEFAULT 0, origin BLOB, PRIMARY KEY (kind, hash)
);
CREATE TABLE IF NOT EXISTS assertion (
    client_id TEXT NOT NULL, jti TEXT NOT NULL, expires_at REAL NOT NULL, PRIMARY KEY (client_id, jti)
);
"""


def open_database(path: Path) -> sqlite3.Connection:
    """Each statement commits by itself and survives `kill -9`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    database.row_factory = sqlite3.Row
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.executescript(_TABLES)
    return database
