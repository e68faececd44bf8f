"""`python -m emulators.entra`: serves the tenants of the world at their configured address."""

from emulators.entra.app import create_app
from emulators.hosting import JsonLines, serve, state_folder
from emulators.world import load_world


def main() -> None:
    world, state = load_world(), state_folder()
    serve(
        create_app(world, state),
        name="entra",
        origins=[world.entra.url],
        state=state,
        raw_log=JsonLines(state / "entra" / "raw-requests.jsonl"),
    )


if __name__ == "__main__":
    main()
