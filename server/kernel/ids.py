"""Ids that sort by time: UUID version 7 (RFC 9562), shown as `prefix_` + 26 characters of Crockford base 32.

The database stores the UUID; outside, an id says what it is of: `evt_…`, `msg_…`, `att_…`. All of them match
`[A-Za-z0-9_-]{1,256}`, as the Standard Webhooks id must.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterable

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [one + other for one in _ALPHABET for other in _ALPHABET]
_SHIFTS = range(120, -1, -10)
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_LENGTH = 26


def new_uuid(milliseconds: int | None = None) -> UUID:
    """Return a new UUIDv7; ids of one process made in one millisecond are ordered to a quarter of a microsecond."""
    nanoseconds = time.time_ns() if milliseconds is None else milliseconds * 1_000_000
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    value = (milliseconds & (2**48 - 1)) << 80 | 0x7 << 76 | (rest * 4096 // 1_000_000) << 64 | 0b10 << 62
    return UUID(int=value | int.from_bytes(os.urandom(8)) >> 2)


def first_uuid_of(milliseconds: int) -> UUID:
    """Return the lowest UUIDv7 of a millisecond since 1970: a partition bound."""
    return UUID(int=(milliseconds & (2**48 - 1)) << 80)


def show(prefix: str, value: UUID) -> str:
    """Write a UUID as `prefix_` and 26 characters."""
    number = value.int
    return f"{prefix}_{''.join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])}"


def read(prefix: str, text: str) -> UUID:
    """Read what `show` wrote.

    Raises:
        ValueError: another prefix, length or letter.

    """
    head, _, tail = text.rpartition("_")
    if head != prefix or len(tail) != _LENGTH or not set(tail) <= _VALUES.keys():
        raise ValueError(f"not an id of the form {prefix}_…")
    number = 0
    for letter in tail:
        number = number * 32 + _VALUES[letter]
    if number >> 128:
        raise ValueError(f"not an id of the form {prefix}_…")
    return UUID(int=number)


def those(prefix: str, texts: Iterable[str]) -> list[UUID]:
    """Read those of some texts that `show` wrote with this prefix."""
    known = []
    for each in texts:
        with suppress(ValueError):
            known.append(read(prefix, each))
    return known
