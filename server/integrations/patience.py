"""A hard end to what may hang: each piece of work has a daemon thread and is left behind when its time is over.

Python cannot stop a thread. One that hangs keeps its place until it returns, so places are limited per name: a plugin
that hangs for ever can use up its own integration's places, and then its calls are postponed; nobody else waits.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


WAIT_SECONDS = 5.0


class NoPlaceError(Exception):
    """Every place of this name was taken for as long as one waits for it."""


class _Work:
    __slots__ = ("done", "error", "result")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.error: BaseException | None = None
        self.result: Any = None


class Patience:
    """Runs work with a hard time-out: at most `per_name` pieces of one name and `in_all` at the same time.

    Who finds no place waits `wait` seconds for one and no longer, however long the work may take: who waits holds what others need.
    """

    def __init__(self, *, per_name: int = 16, in_all: int = 256, wait: float = WAIT_SECONDS) -> None:
        self._per_name = per_name
        self._in_all = in_all
        self._wait = wait
        self._running: Counter[str] = Counter()
        self._changed = threading.Condition()

    def run(self, name: str, work: Callable[[], Any], seconds: float) -> Any:
        """Return what `work` returns, or raise what it raises, even SystemExit.

        Raises:
            NoPlaceError: no place came free soon enough.
            TimeoutError: the work took longer than what was left of `seconds`.

        """
        until = time.monotonic() + seconds
        with self._changed:
            if not self._changed.wait_for(lambda: self._free(name), min(seconds, self._wait)):
                raise NoPlaceError(name)
            self._running[name] += 1
        piece = _Work()
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._do, name, work, piece), daemon=True, name=f"call-{name}"
        )
        try:
            thread.start()
        except RuntimeError as error:
            self._leave(name)
            raise NoPlaceError(name) from error
        if not piece.done.wait(max(until - time.monotonic(), 0.0)):
            raise TimeoutError
        if piece.error is not None:
            raise piece.error
        return piece.result

    def running(self, name: str) -> int:
        """Return how many pieces of that name are under way, those left behind included."""
        with self._changed:
            return self._running[name]

    def _free(self, name: str) -> bool:
        return self._running[name] < self._per_name and self._running.total() < self._in_all

    def _do(self, name: str, work: Callable[[], Any], piece: _Work) -> None:
        try:
            piece.result = work()
        except BaseException as error:  # noqa: BLE001 - a thread's error, SystemExit too, belongs to who waits for it
            piece.error = error
        finally:
            self._leave(name)
            piece.done.set()

    def _leave(self, name: str) -> None:
        with self._changed:
            self._running[name] -= 1
            if not self._running[name]:
                del self._running[name]
            self._changed.notify_all()
