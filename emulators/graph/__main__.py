"""`python -m emulators.graph`: serves Graph and the Teams room at their configured address."""

from emulators.graph.app import create_app
from emulators.hosting import JsonLines, configure_logs, serve, state_folder
from emulators.world import load_world


def main() -> None:
    world, state = load_world(), state_folder()
    log = configure_logs("graph")
    serve(
        create_app(world, state, log=log),
        name="graph",
        origins=[world.graph.url],
        state=state,
        raw_log=JsonLines(state / "graph" / "raw-requests.jsonl"),
        logged_headers=("host", "authorization", "content-type", "user-agent", "prefer", "client-request-id"),
        log=log,
    )


if __name__ == "__main__":
    main()
