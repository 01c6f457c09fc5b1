"""Quantities: Decimal with four places inside, a JSON number outside."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

NONE = Decimal("0.0000")
_STEP = Decimal("0.0001")


def quantity_of(value: Any) -> Decimal:
    """Read a JSON number."""
    return Decimal(str(value)).quantize(_STEP)


def said(quantity: Decimal) -> int | float:
    """Return a JSON number, whole ones as integers."""
    return int(quantity) if quantity == quantity.to_integral_value() else float(quantity)
