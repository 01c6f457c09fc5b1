"""How a `retry` of growing pauses is written, wherever something may be tried again."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from server.documents.fields import Field, FieldType, Object
from server.documents.scalars import Duration, Integer, Number

if TYPE_CHECKING:
    from server.kernel.policies import Growing


def growing(usual: Growing | None, longest: str = "1d", name: str = "retry") -> Object:
    """Return its fields. `usual` is what holds where it says nothing: None where that is said elsewhere; no pause is over `longest`."""
    pause = Duration("1ms", longest)
    return Object(
        (
            _field("attempts", Integer(1, 100), "Tries in all: one more than there are pauses.", usual),
            _field("initial", pause, "The first pause.", usual),
            _field(
                "multiplier", Number(Decimal(1), Decimal(10)), "Each pause is that many times the one before.", usual
            ),
            _field("max", pause, "No pause is longer.", usual),
            jitter(usual),
        ),
        name=name,
    )


def jitter(usual: Growing | None) -> Field:
    """Return the field that spreads pauses, which fixed ones have, too."""
    return _field("jitter", Number(Decimal(0), Decimal(1)), "A pause is up to that share longer, at random.", usual)


def _field(name: str, type_: FieldType, about: str, usual: Growing | None) -> Field:
    if usual is None:
        return Field(name, type_, about)
    default = getattr(usual, name)
    return Field(name, type_, about, required=True) if default is None else Field(name, type_, about, default=default)
