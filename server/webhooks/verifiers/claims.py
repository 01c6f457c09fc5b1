"""What a token has to say, once its signature is known to be right."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from server.kernel.policies import parse_duration
from server.webhooks.verifiers.reading import refused

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_LEEWAY = "30s"


class Claims:
    """What a token has to say: `exp` and `iat` always, and what the definition names."""

    __slots__ = ("_audience", "_issuer", "_leeway", "_max_age", "_wanted")

    def __init__(self, declared: Mapping[str, Any]) -> None:
        self._issuer = _several(declared.get("issuer"))
        self._audience = _several(declared.get("audience"))
        self._leeway = parse_duration(declared.get("leeway", DEFAULT_LEEWAY))
        self._max_age = parse_duration(declared["max_age"]) if "max_age" in declared else math.inf
        self._wanted = dict(declared.get("claims", {}))

    def vet(self, said: Mapping[str, Any], now: float) -> None:
        """Pass when the token is good now, from the issuer, for us, and says what it has to.

        Raises:
            Unauthenticated: SIGNATURE_REFUSED.

        """
        expires, issued = _seconds(said.get("exp")), _seconds(said.get("iat"))
        if expires is None or issued is None or now > expires + self._leeway:
            raise refused("exp or iat")
        if issued > now + self._leeway or now - issued > self._max_age + self._leeway:
            raise refused("iat")
        begins = _seconds(said.get("nbf", issued))
        if begins is None or begins > now + self._leeway:
            raise refused("nbf")
        if self._issuer and said.get("iss") not in self._issuer:
            raise refused("iss")
        if self._audience and not set(self._audience) & set(_several(said.get("aud"))):
            raise refused("aud")
        for name, wanted in self._wanted.items():
            if name not in said or type(said[name]) is not type(wanted) or said[name] != wanted:
                raise refused("claims")


def _several(value: object) -> tuple[str, ...]:
    every = value if isinstance(value, list) else [value]
    return tuple(each for each in every if isinstance(each, str))


def _seconds(value: object) -> float | None:
    """Return a NumericDate; a text, a boolean, infinity and what is not a number are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
