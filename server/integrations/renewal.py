"""Renews what this process holds for a time, for as long as it lives: whoever dies stops renewing, and others go on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Renewal:
    """Calls `renew` every so many seconds in a daemon thread, which ends as soon as nothing is held any more."""

    def __init__(self, name: str, every: float, renew: Callable[[], bool]) -> None:
        """`renew` says whether anything is still held; it raises nothing."""
        self._name = name
        self._every = every
        self._renew = renew
        self._asked = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Renew from now on; called after something was taken."""
        with self._lock:
            self._asked = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name=f"renewal-{self._name}")
                self._thread.start()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self._every)
            with self._lock:
                self._asked = False
            if self._renew():
                continue
            with self._lock:
                if not self._asked:  # nothing was taken since we looked
                    self._thread = None
                    return
