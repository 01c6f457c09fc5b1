"""The next page is read and mapped while one is written: in a thread of its own, one page ahead."""

from __future__ import annotations

import contextvars
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

T = TypeVar("T")
_CLOSE_SECONDS = 5.0


class Ahead(Generic[T]):
    """Takes what a generator gives before it is asked for, as long as `goes_on`; `ended` tells whether it came to its end.

    Closing waits a little while for what is under way; what hangs is closed by its own thread, whenever it comes back.
    """

    def __init__(self, items: Generator[T, None, None], goes_on: Callable[[], bool]) -> None:
        self._items, self._goes_on = items, goes_on
        self._taken: SimpleQueue[T | None] = SimpleQueue()
        self._room = threading.Semaphore(1)
        self._is_closed = False
        self._error: BaseException | None = None
        self.ended = False
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._take,), daemon=True, name="sync-ahead")
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        """Yield what was taken; raise what taking it raised, after all that was taken before."""
        while (item := self._taken.get()) is not None:
            self._room.release()
            yield item
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Take no more, and end."""
        self._is_closed = True
        self._room.release()
        self._thread.join(_CLOSE_SECONDS)

    def _take(self) -> None:
        try:
            self._room.acquire()
            while not self._is_closed:
                item = next(self._items, None)
                if item is None:
                    self.ended = True
                    break
                self._taken.put(item)
                del item
                self._room.acquire()
                if not self._goes_on():
                    break
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to who waits for the page
            self._error = error
        finally:
            self._taken.put(None)
            self._items.close()
