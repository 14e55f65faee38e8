"""Logs: one JSON object a line on stdout, or lines for a person on a terminal.

The level can be changed while the broker runs, for everything or for one logger
(`PUT /loglevel`, or IncrementalAlterConfigs on a broker logger). Event texts are constant; what
varies stands in fields.
"""

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "OFF")
_NUMBERS: Final = {
    "TRACE": logging.DEBUG,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
    "FATAL": logging.CRITICAL,
    "OFF": logging.CRITICAL + 1,
}
ROOT: Final = "root"
LOGGERS: Final = (
    "headrace.broker",
    "headrace.cleaner",
    "headrace.connection",
    "headrace.controller",
    "headrace.coordinator",
    "headrace.dispatch",
    "headrace.forwarding",
    "headrace.groups",
    "headrace.listener",
    "headrace.log",
    "headrace.metadata",
)
"""What BROKER_LOGGER resources list beside the root."""

_levels: dict[str, str] = {ROOT: "INFO"}


def level_of(logger: str) -> str:
    """The level in force for a logger: its own or the root's."""
    return _levels.get(logger, _levels[ROOT])


def set_level(logger: str, level: str | None) -> None:
    """Change a logger's level; None takes it back to the root's. Raises ValueError."""
    if level is None:
        if logger != ROOT:
            _levels.pop(logger, None)
        return
    if level.upper() not in LEVELS:
        raise ValueError(f"no log level {level!r}; there are {', '.join(LEVELS)}")
    _levels[logger] = level.upper()


def configure(*, for_people: bool, level: str) -> None:
    """Set up structlog once, at start."""
    set_level(ROOT, level)
    renderer: Any
    if for_people:
        renderer = structlog.dev.ConsoleRenderer(
            colors=not os.environ.get("NO_COLOR"), pad_event_to=0
        )
        stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
    else:
        renderer = structlog.processors.JSONRenderer()
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="@timestamp")
    structlog.configure(
        processors=[
            _filter,
            structlog.processors.add_log_level,
            stamp,
            structlog.processors.dict_tracebacks if not for_people else structlog.dev.set_exc_info,
            renderer,
        ],
        logger_factory=_Named,
        wrapper_class=structlog.BoundLogger,
        cache_logger_on_first_use=False,
    )


class _Named:
    """A sink that knows its logger's name, so that levels can differ by logger."""

    def __init__(self, name: str = ROOT) -> None:
        self.name = name

    def _write(self, line: str) -> None:
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except OSError:
            pass  # Nobody reads the logs any more; the broker goes on.

    debug = info = warning = warn = error = critical = exception = msg = _write


def _filter(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    name = getattr(logger, "name", ROOT)
    asked = "ERROR" if method == "exception" else method.upper()
    number = {"WARNING": "WARN", "CRITICAL": "FATAL"}.get(asked, asked)
    if _NUMBERS.get(number, logging.INFO) < _NUMBERS[level_of(name)]:
        raise structlog.DropEvent
    event["logger"] = name
    return event
