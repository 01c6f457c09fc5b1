"""The figures of flows, as Prometheus reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.flows import metrics as figures
from server.operations.metrics import Backlog
from server.sdk import Permanent
from server.telemetry import metrics
from tests.flows.test_engine import do

if TYPE_CHECKING:
    from tests.flows.running import Flowing

SLEEP = {"id": "s", "sleep": "1d"}


def gauges(flows: Flowing) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for gauge, labels, value in Backlog(flows.core.engine)():
        found.setdefault(gauge.name, {})[tuple(labels.values())] = value
    return found


def counted(name: str) -> int:
    """Return how much of a figure there is of the flow of this test."""
    lines = metrics.render().decode().splitlines()
    return int(
        sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name) and 'flow="figures"' in line)
    )


def test_runs_are_counted_when_they_begin_and_end_with_the_time_of_their_calls(flows: Flowing) -> None:
    before = [counted(name) for name in ("crossdock_flow_runs_started_total", "crossdock_flow_step_seconds_count")]
    flow = flows.flow("figures", [do("a"), {"id": "x", "set": {"y": 1}}, do("b")])
    flows.pretend.fails["thing.do"] = [None, None, None, Permanent("no")]
    for state in ("completed", "compensated"):
        assert flows.ended(flows.start(flow, name="figures")).state == state
        assert (
            counted(f'crossdock_flow_runs_ended_total{{flow="figures",state="{state}",workspace="default/default"}}')
            == 1
        )
    after = [counted(name) for name in ("crossdock_flow_runs_started_total", "crossdock_flow_step_seconds_count")]
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 4]


def test_runs_are_shown_by_state_with_the_age_of_the_oldest_and_those_that_need_a_person(flows: Flowing) -> None:
    flows.pretend.fails["thing.undo"] = [Permanent("locked")]
    flows.pretend.fails["thing.do"] = [None, Permanent("no")]
    assert flows.run([do("a"), do("b")]).state == "compensation_failed"
    waits = flows.start(flows.flow("waits", [SLEEP]), name="waits")
    flows.until(waits, lambda row: row.state == "waiting")
    undone = flows.start(flows.flow("undone", [do("a"), SLEEP]), name="undone")
    flows.until(undone, lambda row: row.state == "waiting")
    with flows.core.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE flow_runs SET created_at = now() - interval '1 hour' WHERE id = %s", (waits,))
        conn.exec_driver_sql("UPDATE flow_runs SET state = 'compensating' WHERE id = %s", (undone,))
        conn.exec_driver_sql(
            "UPDATE flow_steps SET began_at = now() - interval '2 hours', ended_at = NULL WHERE run_id = %s", (undone,)
        )
    flows.product.workspace("other", "main")
    found = gauges(flows)
    here = "default/default"
    assert found[figures.RUNS.name] == {
        (here, "f", "compensation_failed"): 1,
        (here, "waits", "waiting"): 1,
        (here, "undone", "compensating"): 1,
    }
    assert found[figures.NOT_UNDONE.name] == {(here,): 1, ("other/main",): 0}
    assert 3600 <= found[figures.AGE.name][here, "waits", "waiting"] < 3700
    assert 7200 <= found[figures.STALLED.name][here,] < 7300
    assert found[figures.STALLED.name]["other/main",] == 0
