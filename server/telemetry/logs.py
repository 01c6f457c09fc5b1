"""Structured logs: one JSON object per line on standard error, each with its context, none with a credential.

What every line has: `timestamp` (RFC 3339, UTC), `level`, `event`, `process`, and whatever `context()` bound around it:
`request_id`, `correlation_id`, `organization`, `workspace`, … Lines of other libraries (logging) and warnings take
the same way. JSON escapes CR and LF, so no text from outside can begin a line.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import orjson
import structlog

from server.telemetry.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping

    from structlog.typing import EventDict, Processor

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
"""Nothing is critical: that is the level of silence."""
_THIS = {"process": "crossdock"}
_QUIET = ("urllib3", "alembic", "rq", "opentelemetry", "asyncio", "werkzeug", "_granian")
"""Libraries whose lines below warning say nothing to an operator."""


class _Lines(logging.StreamHandler[IO[str]]):
    """Writes whole lines, of other libraries as their records come, of ours as they are made."""

    def line(self, text: str) -> None:
        """Write one; what cannot be written is lost, since nothing fails for want of a log."""
        self.acquire()
        try:
            self.stream.write(text + self.terminator)
            self.flush()
        except (OSError, ValueError):  # the disk is full, nobody reads, the stream is closed
            pass
        finally:
            self.release()


class _Ours:
    """What structlog writes our lines to: a level is in the line already, and the way through `logging` costs as much as all else."""

    def __init__(self, lines: _Lines) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = lines.line


def configure(process: str, level: str | None = "info", stream: IO[str] | None = None) -> None:
    """Send the logs of this process, named `process` in every line, to `stream` (standard error by default); None: log nothing.

    Raises:
        ValueError: a level that there is not.

    """
    if level is not None and level not in _LEVELS:
        raise ValueError(f"CROSSDOCK_LOG_LEVEL: {level!r} is none of {', '.join(_LEVELS)}")
    least = logging.CRITICAL if level is None else _LEVELS[level]
    rename(process)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named,
    ]
    last: list[Processor] = [
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _redacted,
        structlog.processors.JSONRenderer(serializer=_dumps),
    ]
    handler = _Lines(stream or sys.stderr)
    ours = _Ours(handler)
    structlog.configure(
        processors=[*shared, *last],
        logger_factory=lambda *_: ours,
        wrapper_class=structlog.make_filtering_bound_logger(least),
        cache_logger_on_first_use=False,
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(least)
    logging.captureWarnings(capture=True)
    for name in _QUIET:
        library = logging.getLogger(name)
        library.setLevel(max(least, logging.WARNING))
        library.handlers.clear()  # some bring their own, which would write lines that are not JSON
        library.propagate = True
    sys.excepthook = _process_failed
    threading.excepthook = _thread_failed


class Bound:
    """How many lines a second are told of what anybody can cause as often as they like: refusals. Of one thread."""

    def __init__(self, most: int = 20, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self._monotonic = monotonic
        self._said = (0, 0)

    def admits(self) -> bool:
        """Say whether to tell one more."""
        second, number = self._said
        now = int(self._monotonic())
        self._said = (now, number + 1 if now == second else 1)
        return self._said[1] <= self.most


@contextmanager
def context(**values: Any) -> Iterator[None]:
    """Add fields to every line that is logged inside `with`, in this thread or task; None adds nothing."""
    given = {key: value for key, value in values.items() if value is not None}
    with structlog.contextvars.bound_contextvars(**given):
        yield


def current() -> dict[str, Any]:
    """Return the fields that are bound here, to hand them to another thread or process."""
    return dict(structlog.contextvars.get_contextvars())


def rename(process: str) -> None:
    """Give this process another name in its lines: it has been forked to do something else."""
    _THIS["process"] = process


def _named(_logger: Any, _method: str, event: EventDict) -> EventDict:
    event.setdefault("process", _THIS["process"])
    return event


def _redacted(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    cleaned: dict[str, Any] = redact(event)
    return cleaned


def _process_failed(_kind: type[BaseException], error: BaseException, _trace: object) -> None:
    structlog.get_logger(__name__).error("process failed", exc_info=error)


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    name = failed.thread.name if failed.thread is not None else ""
    structlog.get_logger(__name__).error("thread failed", thread=name, exc_info=failed.exc_value)


def _dumps(event: Any, **_: Any) -> str:
    try:
        return orjson.dumps(event).decode()
    except TypeError:  # a lone surrogate or an integer of more than 64 bits
        return orjson.dumps(ascii(event)).decode()
