"""F21: workers that get kill -9 in the middle of flows; every deal ends as its run says, with each effect once, or all undone."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults import figures
from tests.faults.figures import Figures
from tests.faults.forms import RECOVER_SECONDS
from tests.flows.erp import Company
from tests.support.product import until

if TYPE_CHECKING:
    from tests.support.fleet import Fleet

FLEET = {"apis": 0, "workers": 2, "schedulers": 0}
_ENDED = "SELECT count(*) FROM flow_runs WHERE ended_at IS NOT NULL"
_LEASED = "SELECT ref, epoch FROM due WHERE kind = 'flow' AND leased"


@pytest.mark.parametrize(
    ("deals", "kills"),
    [
        pytest.param(16, 1, id="short", marks=pytest.mark.serial),
        pytest.param(1000, 12, id="long", marks=[pytest.mark.faults, pytest.mark.timeout(900)]),
    ],
)
def test_f21_killed_flows_do_each_step_once_or_undo_them_all(fleet: Fleet, deals: int, kills: int) -> None:
    company = Company(fleet.product)
    company.seed(deals, broke=True)
    company.win()
    seconds: list[float] = []
    for number in range(kills):
        share = (number + random.uniform(0.2, 0.8)) / (kills + 0.5)
        until(lambda share=share: _ended(fleet) >= share * deals, 120, "the runs get on")
        seconds.append(_kill_all(fleet))
    until(lambda: company.open() == 0, 300, "all runs end")
    wrong = company.wrong()
    repeated = fleet.rows("SELECT coalesce(sum(greatest(tries - 1, 0)), 0) FROM flow_steps")[0][0]
    figures.note(
        Figures(
            "F21",
            f"{kills} kills of all workers",
            accepted=deals,
            received=deals - len(wrong),
            lost=len(wrong),
            unexpected=0,
            duplicated=0,
            bound=0,
            recovered=0,
            seconds=round(max(seconds), 2),
            more={"states": company.states(), "repeated_tries": int(repeated)},
        )
    )
    assert wrong == [], "\n".join(wrong[:20])
    assert set(company.states()) == {"completed", "compensated"}
    assert max(seconds) <= RECOVER_SECONDS


def _ended(fleet: Fleet) -> int:
    return int(fleet.rows(_ENDED)[0][0])


def _kill_all(fleet: Fleet) -> float:
    """Kill every worker at once and start them again; return how long it took until others had what they held."""
    time.sleep(random.uniform(0.0, 0.05))
    for name in fleet.workers:
        fleet.processes[name].kill()
    killed = time.monotonic()
    for name in fleet.workers:
        fleet.processes[name].wait(10)
    orphans = set(fleet.rows(_LEASED))
    fleet.start(*fleet.workers)
    until(lambda: not orphans & set(fleet.rows(_LEASED)), 30, "others have the runs")
    return time.monotonic() - killed
