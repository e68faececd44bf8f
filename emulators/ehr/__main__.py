"""`python -m emulators.ehr <organization>`: serve one organisation's EHR until SIGTERM."""

import argparse
import os
import time

from emulators.ehr.app import create_app
from emulators.ehr.ehr import EmulatedEhr
from emulators.hosting import JsonLines, configure_logs, serve, state_folder
from emulators.world import load_world

LOGGED_HEADERS = ("host", "content-type", "user-agent", "epic-client-id", "origin")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m emulators.ehr", description=__doc__)
    parser.add_argument("organization", help="an organisation that has an EHR in the world file")
    organization = parser.parse_args().organization
    os.umask(0o077)
    found = next((e for e in load_world().ehrs if e.organization == organization), None)
    if found is None:
        parser.error(f"the world file has no EHR of an organisation {organization!r}")
    state, name = state_folder(), f"ehr-{organization}"
    log = configure_logs(name)
    ehr = EmulatedEhr(found, state, time.time, log)
    raw_log = JsonLines(ehr.folder / "raw-requests.jsonl")
    origins = list(dict.fromkeys([found.url, *found.page_origins]))
    serve(
        create_app(ehr),
        name=name,
        origins=origins,
        state=state,
        raw_log=raw_log,
        logged_headers=LOGGED_HEADERS,
        log=log,
    )


if __name__ == "__main__":
    main()
