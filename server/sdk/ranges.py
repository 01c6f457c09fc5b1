"""A remote file as a readable stream in blocks of a few megabytes, so that memory stays flat whatever its size."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 4 * 1024 * 1024


class BlockReader(io.RawIOBase):
    """Reads through `block(offset, size)`, which returns at most `size` bytes, fewer or none only at the end.

    Wrap it in `io.BufferedReader` where lines are read. Whatever `block` raises goes up.
    """

    def __init__(self, block: Callable[[int, int], bytes], *, size: int = BLOCK, offset: int = 0) -> None:
        super().__init__()
        self._block = block
        self._size = size
        self._at = offset
        self._held = b""
        self._taken = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._taken >= len(self._held) and not self._ended:
            self._held, self._taken = self._block(self._at, self._size), 0
            self._at += len(self._held)
            self._ended = len(self._held) < self._size
        count = min(len(buffer), len(self._held) - self._taken)
        buffer[:count] = self._held[self._taken : self._taken + count]
        self._taken += count
        return count
