"""How often somebody may have the portal call an address that they name: a bounded number a minute, by account.

Held in this process's memory: of several replicas, each allows as much. Who signs in anew has no more for it.
"""

import time
from collections.abc import Callable

from runtime.identity.links import Account

LOOKS = 20
SECONDS = 60.0


class Allowance:
    """What is left to each account of the last minute; who has asked for nothing since is forgotten."""

    def __init__(self, most: int = LOOKS, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most, self._monotonic = most, monotonic
        self._taken: dict[Account, list[float]] = {}

    def take(self, account: Account) -> bool:
        """Whether there is one more; then it is taken."""
        now = self._monotonic()
        recent = {who: [t for t in times if t > now - SECONDS] for who, times in self._taken.items()}
        self._taken = {who: times for who, times in recent.items() if times}
        times = self._taken.setdefault(account, [])
        if len(times) >= self._most:
            return False
        times.append(now)
        return True
