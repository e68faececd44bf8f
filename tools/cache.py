"""The one folder outside the tree for what can be made again: uv's and Go's caches, the Pulumi CLI.

The Makefile and tools/bootstrap.sh compute the same path; `make clean` empties it.
"""

import os
from collections.abc import Mapping
from pathlib import Path


def cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """`$XDG_CACHE_HOME/teams-ehr-connector`, `~/.cache` where the variable is unset, empty or relative (XDG 0.8)."""
    values = os.environ if environment is None else environment
    base = Path(values.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        base = Path(values["HOME"] if "HOME" in values else Path.home()) / ".cache"
    return base / "teams-ehr-connector"
