"""The server's log: structlog over the standard library's handlers, so that what libraries log looks like our own.

One line an entry, JSON or for a console, on standard error; keeping it is the affair of whoever started the server
(journald, a container). Every entry that belongs to a request has its `request_id`, in whatever layer it was written:
`bind` puts it into a context variable, which tasks and threads that the request starts inherit.

Nothing of a request but its method and path is logged, no local variables are shown in a traceback, and the secrets
among the settings are taken out of every line.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any

import structlog

from toolhost.redaction import Redaction
from toolhost.settings import SETTINGS, Settings

__all__ = ["bind", "configure"]

_HTTP = ("httpx2", "httpcore2", "httpx", "httpcore", "hpack", "sse_starlette")
_QUIET = (*_HTTP, "asyncio", "watchfiles", "aiosqlite", "mcp", "alembic")
"""Libraries of which only warnings are logged: at INFO some print whole URLs, with whatever is in them."""


def bind(**values: str) -> None:
    """Put something into every entry from here on, in this request or task and what it starts."""
    structlog.contextvars.bind_contextvars(**values)


def configure(settings: Settings) -> None:
    """Send everything that is logged to standard error, in the format of the settings."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    redaction = Redaction(_secrets(settings))
    as_json = settings.log_format == "json"
    # Local variables hold passwords and keys: neither renderer may show them.
    last: list[structlog.typing.Processor] = (
        [
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(default=str),
        ]
        if as_json
        else [
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _renamed,
            *last,
            lambda _, __, line: redaction.text(str(line)),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if settings.debug else getattr(logging, settings.log_level.upper()))
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)


def _renamed(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The names that our audit records have for the same."""
    entry["message"] = entry.pop("event", "")
    return entry


def _secrets(settings: Settings) -> Iterable[bytes]:
    for setting in SETTINGS:
        value = getattr(settings, setting.name)
        if setting.secret and isinstance(value, str) and value:
            yield value.encode()
