"""How long and how much: the limits of one exchange with another system."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times in seconds, sizes in bytes. `total` covers everything from the name look-up to the last byte."""

    total: float = 30.0
    dns: float = 5.0
    connect: float = 10.0
    first_byte: float = 30.0
    body: int = 16 * MIB
    head: int = 64 * KIB


PLUGIN_LIMITS = Limits()
DELIVERY_LIMITS = Limits(body=64 * KIB)
