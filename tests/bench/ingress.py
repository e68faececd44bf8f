"""`python -m tests.bench.ingress PORT ONWARD STATE`: the ingress of the emulated platform, in a process of its own.

In front of the bare handler, as the supervisor's is in front of the application.
"""

import asyncio
import sys
from pathlib import Path

from emulators import tls
from emulators.azure.ingress import Ingress

NAME = "bench-ingress"


async def main(port: int, onward: int, state: Path) -> None:
    tls.ensure_leaf(state, ["localhost"], NAME)
    await Ingress(f"localhost:{port}", tls.server_context(state, NAME), lambda: [onward]).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
