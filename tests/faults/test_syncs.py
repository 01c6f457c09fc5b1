"""F20: runs of sync jobs whose workers get kill -9 at any moment lose nothing, double nothing, and are taken over in time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.faults import figures
from tests.faults.figures import Figures
from tests.faults.forms import RECOVER_SECONDS
from tests.faults.killed_runs import Api, Killing, tenths

if TYPE_CHECKING:
    from tests.support.fleet import Fleet

FLEET = {"apis": 0, "workers": 3, "schedulers": 0}
AT_ONCE = 12
"""As many as the workers of the fleet take."""


@pytest.mark.parametrize(
    ("runs", "latest"),
    [
        pytest.param(8, 0.4, id="short", marks=pytest.mark.serial),
        pytest.param(200, 1.0, id="long", marks=[pytest.mark.faults, pytest.mark.timeout(900)]),
    ],
)
def test_f20_killed_runs_lose_and_double_nothing(fleet: Fleet, runs: int, latest: float) -> None:
    shares: list[float] = []
    seconds: list[float] = []
    wrong: list[str] = []
    with Api() as api:
        killing = Killing(fleet, api, AT_ONCE)
        while len(shares) < runs and not wrong:
            fleet.ready()
            met = killing.round(random.uniform(0.0, latest))
            wrong += killing.wrong()
            shares += met.shares
            seconds += [met.seconds] if met.shares else []
    figures.note(
        Figures(
            "F20",
            f"{runs} runs killed",
            accepted=sum(job.rows for job in killing.jobs),
            received=sum(job.rows for job in killing.jobs) if not wrong else None,
            lost=len(wrong),
            unexpected=0,
            duplicated=0,
            bound=0,
            recovered=0,
            seconds=round(max(seconds), 2),
            more={
                "runs_killed": len(shares),
                "killed_by_tenths_of_their_rows": tenths(shares),
                "requests_repeated": api.repeats,
            },
        )
    )
    assert wrong == [], "\n".join(wrong)
    assert max(seconds) <= RECOVER_SECONDS
