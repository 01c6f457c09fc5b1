"""How much a fault test does: the short form runs in `make test`, the long one in `make faults`."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

EVENTS = int(os.environ.get("FAULTS_EVENTS", "10000"))
LONG_MINUTES = float(os.environ.get("FAULTS_LONG_MINUTES", "5"))
RATE = 250.0
ORPHAN_SECONDS = 10.0
RECOVER_SECONDS = 10.0
ATTACH_SECONDS = 10.0
DRAIN_SECONDS = 20.0
STALL_SECONDS = 5.0


@dataclass(frozen=True)
class Form:
    """How much: events, events a second, and how often the fault comes."""

    count: int
    rate: float = RATE
    times: int = 1
    name: str = "long"

    @property
    def shares(self) -> list[float]:
        """When the faults come: shares of the events that are accepted by then."""
        return [0.1 + 0.7 * number / self.times for number in range(self.times)]


SHORT = pytest.param(Form(1000, RATE, 1, "short"), id="short", marks=pytest.mark.serial)
LONG = pytest.param(Form(EVENTS, RATE, 10, "long"), id="long", marks=[pytest.mark.faults, pytest.mark.timeout(900)])
BOTH = pytest.mark.parametrize("form", [SHORT, LONG])
ONLY_LONG = pytest.mark.parametrize("form", [LONG])
