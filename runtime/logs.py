"""Logs: one JSON object a line, holding only what is on the list below.

Owns the allow-list of keys, the length cap of values, and the silence of other libraries below WARNING (their messages
are replaced by logger name and level, because they may quote URLs, SQL parameters or bodies).
"""

import logging
from typing import cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from runtime.settings import Settings

ALLOWED = frozenset(
    {
        "event", "level", "timestamp", "role", "stage", "geography", "revision",  # every line
        "method", "route", "status", "milliseconds",  # access log
        "organization", "connection", "code", "reason", "party", "error", "where", "logger",  # what happened to whom
        "visit", "subscription", "attempt", "count", "task", "table", "change", "state", "seconds",  # visits and jobs
        "ready", "unready", "name", "advice",  # start and readiness
        "sequence",  # place in the audit chain
    }
)  # fmt: skip
"""`visit` and `subscription` are pseudonyms (first 8 hex digits of a keyed hash, or a random id)."""
MAXIMUM_CHARACTERS = 300

log = cast(FilteringBoundLogger, structlog.get_logger())


def only_allowed(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Drop every key that is not listed; absent values too."""
    return {k: _short(v) for k, v in event.items() if k in ALLOWED and v is not None}


def _short(value: object) -> object:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [str(v)[:MAXIMUM_CHARACTERS] for v in cast(list[object], value)[:50]]
    return str(value)[:MAXIMUM_CHARACTERS]


def where(error: BaseException) -> str:
    """The innermost place of ours in a traceback, `module:line`: enough to find it, and never a value."""
    place, traceback = "", error.__traceback__
    while traceback:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if module.startswith("runtime"):
            place = f"{module}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


class _OtherLibraries(logging.Handler):
    """What other libraries say becomes their name and level: never their message."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        log.warning("library", logger=record.name, error=error)


def configure_logs(settings: Settings | None) -> None:
    """Once, at the start of a process; standard output is the platform's log stream."""
    fixed: dict[str, str] = (
        {
            "role": settings.role.value,
            "stage": settings.stage.value,
            "geography": settings.geography.value,
            "revision": settings.revision,
        }
        if settings
        else {}
    )

    def with_fixed(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {**fixed, **event}

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            with_fixed,
            only_allowed,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(),
    )
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers = [_OtherLibraries()]
    root.setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "httpx", "msal", "procrastinate"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.WARNING)
