"""A light guard: the delivery engine is not suddenly several times slower than it was. `make bench` measures properly."""

from __future__ import annotations

import pytest

from server.runtime.embedded import FAST
from tests.benchmarks.measuring import drain, expected, fill
from tests.benchmarks.rig import Rig

EVENTS = 3000
FLOOR = 0.3


@pytest.mark.serial
def test_a_worker_delivers_at_a_third_of_a_bare_loop_at_least():
    with Rig(start=("api",), postgres=FAST) as rig:  # what is asserted is the worker's CPU, not the disk
        bare = rig.reference("aiohttp", 1.0)["per_cpu_second"]
        fill(rig, EVENTS)
        found = drain(rig, EVENTS)
        verdict = rig.arrivals().judge(expected(rig, range(EVENTS)))
    assert verdict == {"lost": 0, "repeated": 0, "unexpected": 0}
    assert found["per_worker_cpu_second"] >= FLOOR * bare, found
