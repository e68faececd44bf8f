"""What goes wrong in the emulated cloud.

AzureError            Resource Manager says no: HTTP status, code and message, as ARM spells them
  PartialWrite        the resource exists as it was written, and did not come up: Pulumi must know it
SupervisorUnavailable the process that owns the emulated cloud's processes does not answer
"""

from typing import Any


class AzureError(Exception):
    """A refusal of Resource Manager."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f'Status={status} Code="{code}" Message="{message}"')
        self.status, self.code, self.message = status, code, message


class PartialWrite(AzureError):
    """Written, but not well; `arm` is what exists."""

    def __init__(self, error: AzureError, arm: dict[str, Any]) -> None:
        super().__init__(error.status, error.code, error.message)
        self.arm = arm


class SupervisorUnavailable(Exception):
    """Says where its log is."""
