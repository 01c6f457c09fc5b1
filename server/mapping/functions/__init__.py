"""The function library: what JMESPath has, and ours by theme. Pure, and the same everywhere: no clock, no randomness, no I/O."""

from __future__ import annotations

from .arithmetic import ARITHMETIC
from .base import Body, Function, Param
from .dates import DATES
from .encoding import ENCODING
from .lists import LISTS
from .lookup import LOOKUP
from .objects import OBJECTS
from .standard import STANDARD
from .text import TEXT

FUNCTIONS: dict[str, Function] = {
    name: function
    for library in (STANDARD, ARITHMETIC, TEXT, DATES, LISTS, OBJECTS, LOOKUP, ENCODING)
    for name, function in library.items()
}

__all__ = ["FUNCTIONS", "Body", "Function", "Param"]
