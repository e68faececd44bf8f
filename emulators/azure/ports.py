"""Loopback ports of what the emulated cloud starts, below those that Linux gives to whoever connects (32768 up).

A server or a container takes a while until it listens; a port of the system's own would be taken by then.
"""

import random
import socket
from collections.abc import Collection
from contextlib import suppress

from emulators.azure.errors import AzureError

OF_RESOURCES = range(20000, 30000)
OF_CONTAINERS = range(30000, 32768)
ATTEMPTS = 2000


def free_port(ports: range, taken: Collection[int] = ()) -> int:
    """One of `ports` that nobody listens on and that is not `taken`. Raises AzureError."""
    for _ in range(ATTEMPTS):
        port = random.choice(ports)
        if port in taken:
            continue
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AzureError(500, "NoPortLeft", f"no loopback port from {ports.start} to {ports.stop - 1} is free")
