"""What can go wrong with Graph, by what is to be done about it.

ConnectorError
└── GraphFailure
    ├── GraphRefused         Graph understood and said no: retrying soon changes nothing
    │   └── GraphNotFound    what was asked for is gone
    └── GraphUnavailable     429, 5xx, time-out, no connection: retried, after `retry_after` where Graph names it
"""

from runtime.errors import ConnectorError


class GraphFailure(ConnectorError):
    """`code` is Graph's error code or ours, safe to log and to keep; messages of Graph are never kept."""

    def __init__(self, operation: str, code: str, status: int | None = None) -> None:
        super().__init__(f"Graph {operation}: {code}" + (f" ({status})" if status else ""))
        self.operation = operation
        self.code = code
        self.status = status


class GraphRefused(GraphFailure):
    """A 4xx answer, or an answer that does not fit what was asked."""


class GraphNotFound(GraphRefused):
    """404 or 410."""


class GraphUnavailable(GraphFailure):
    """`retry_after` is in seconds, where Graph named it."""

    def __init__(self, operation: str, code: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(operation, code, status)
        self.retry_after = retry_after
