"""What the engine is about to do, which a policy may want to know: to which stack, and whether it previews.

The engine says so when it configures the pack's stack, before the program's first resource (`Analyzer.ConfigureStack`,
fields `stack` and `dry_run`); the SDK takes other fields of that request and drops these. Until something is said, it
is an update: nothing is loosened by silence.
"""

import os
from collections.abc import Callable
from typing import Any, cast

from pulumi_policy import policy as sdk


def is_preview_by_environment() -> bool:
    """Where a language host starts the pack with the variable that it gives to programs."""
    return os.environ.get("PULUMI_DRY_RUN", "").lower() in ("1", "true")


def on_configured(told: Callable[[str, bool], None]) -> None:
    """Call `told` with the stack's name and whether it is a preview, each time that the engine says it."""
    servicer = cast("Any", sdk)._PolicyAnalyzerServicer
    configure = servicer.ConfigureStack

    def configure_stack(self: Any, request: Any, context: Any) -> Any:
        told(str(request.stack), bool(request.dry_run))
        return configure(self, request, context)

    servicer.ConfigureStack = configure_stack
