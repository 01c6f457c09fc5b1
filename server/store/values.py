"""JSON in and out of the database: a number with a fraction is a Decimal on both ways, so that no digit is lost."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import orjson

_DIGITS = 400  # written out, `1e-99999999` would be a hundred million of them


def write_json(value: Any) -> str:
    """Write JSON compactly; a Decimal keeps its digits."""
    return orjson.dumps(value, default=_decimal).decode()


def read_json(text: str | bytes) -> Any:
    """Read JSON of ours; numbers with a fraction become Decimal."""
    return json.loads(text, parse_float=Decimal)


def _decimal(value: Any) -> Any:
    if isinstance(value, Decimal):
        if not value.is_finite() or abs(value.adjusted()) > _DIGITS:
            raise TypeError(f"not JSON: a number of more than {_DIGITS} digits, or none")
        return orjson.Fragment(format(value or abs(value), "f").encode())  # -0 is 0: the database knows no other
    raise TypeError(f"not JSON: {type(value).__name__}")
