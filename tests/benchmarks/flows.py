"""Flow runs measured: durable steps a second of one worker, the way to the first step, runs that wait, and deals on the embedded ERP.

A no-op is `answer.give` of the plugin `hostile`: validated, called behind the gate of its integration, its answer checked; nothing
leaves the process. Each of its steps is stored as begun before it is called, and its result before the next.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import requests

from server.flows.aggregate import Flow
from server.flows.repository import FLOWS
from server.integrations.aggregate import Integration
from server.integrations.repository import INTEGRATIONS
from server.kernel.ids import new_uuid
from tests.benchmarks.measuring import quantiles
from tests.benchmarks.rig import Rig
from tests.flows.erp import Company

if TYPE_CHECKING:
    from tests.benchmarks.measuring import Sizes

STEPS = 5
RUNS = 2_000
WARM = 200
OFFERED = 20.0
OFFERED_SECONDS = 20.0
WAITING = 100_000
IDLE_SECONDS = 10.0
_OPEN = "SELECT count(*) FROM flow_runs WHERE ended_at IS NULL"
_FIRST = """
SELECT extract(epoch FROM s.began_at - r.created_at), extract(epoch FROM s.ended_at - r.created_at)
FROM flow_runs r JOIN flow_steps s ON s.run_id = r.id AND s.path = 's1'
"""
_WAIT = """
WITH run AS (
  INSERT INTO flow_runs (id, workspace_id, flow_id, definition_version, state, cause, data, priority, principal, correlation_id,
                         deadline, started_at)
  SELECT gen_random_uuid(), f.workspace_id, f.id, 1, 'waiting', 'person', json_build_object('order', n), 1, 'bench', 'cor_' || n,
         now() + interval '30 days', now()
  FROM flows f, generate_series(1, %s) n WHERE f.name = 'waits' RETURNING id, workspace_id, flow_id, data
), step AS (
  INSERT INTO flow_steps (workspace_id, run_id, path, state, number, note)
  SELECT workspace_id, id, 'w', 'waiting', 0,
         json_build_object('needed', 1, 'value', data -> 'order', 'until', '2099-01-01T00:00:00Z') FROM run
), wait AS (
  INSERT INTO flow_waits (workspace_id, run_id, path, type, field, value, needed, scanned)
  SELECT workspace_id, id, 'w', 'thing.made', 'data.order', data ->> 'order', 1, '{"done": true}' FROM run
)
INSERT INTO due (kind, ref, workspace_id, lane, due_at, lane_limit, priority)
SELECT 'flow', id, workspace_id, flow_id, now() + interval '29 days', 1000, 1 FROM run
"""


def flow_steps(_: Sizes) -> dict[str, Any]:
    """Durable steps a second of one worker process: a backlog of runs of five no-op steps."""
    with Rig(hooks=1, start=("api",)) as rig:
        _declare(rig)
        _publish(rig, RUNS)
        rig.start("worker-1")
        return _drained(rig, RUNS)


def flow_first_step(_: Sizes) -> dict[str, Any]:
    """From the event's being stored to the result of the first step, events offered singly."""
    with Rig(hooks=1, start=("api", "worker")) as rig:
        _declare(rig)
        _offer(rig, OFFERED, 2.0)
        rig.do("DELETE FROM flow_steps; DELETE FROM flow_runs")
        _offer(rig, OFFERED, OFFERED_SECONDS)
        rig.until(lambda: not rig.rows(_OPEN)[0][0], 60, "all runs end")
        found = rig.rows(_FIRST)
        return {
            "runs": len(found),
            "begun_ms": quantiles([float(began) for began, _ in found]),
            "done_ms": quantiles([float(done) for _, done in found]),
        }


def flow_waiting(_: Sizes) -> dict[str, Any]:
    """What 100,000 runs that wait cost: an idle worker with them and without, steps beside them, and waking one."""
    with Rig(hooks=1, start=("api", "worker")) as rig:
        _declare(rig)
        _offer(rig, OFFERED, 2.0)
        without = _idle(rig)
        rig.rows(f"{_WAIT} RETURNING 1", WAITING)
        rig.do("VACUUM ANALYZE")
        beside = _idle(rig)
        _publish(rig, RUNS // 4)
        waiting = f"SELECT count(*) - {WAITING} FROM flow_runs WHERE ended_at IS NULL"
        began = time.monotonic()
        rig.until(lambda: rig.rows(waiting)[0][0] <= 0, 120, "the other runs end")
        seconds = time.monotonic() - began
        woken = [_wake(rig, number) for number in range(1, 21)]
        return {
            "waiting": WAITING,
            "idle_percent_without": without,
            "idle_percent_beside": beside,
            "more_percent": max(beside - without, 0.0),
            "steps_beside": RUNS // 4 * STEPS / seconds,
            "wake_ms": quantiles(woken),
        }


def flow_deals(sizes: Sizes) -> dict[str, Any]:
    """Runs of `deal-won` on the embedded ERP, all at once; some have no credit and are undone."""
    deals = sizes.deals
    with Rig(hooks=1, start=("api",)) as rig:
        company = Company(rig.product)
        company.seed(deals, broke=True)
        company.win()
        rig.start("worker-1")
        began, memory = time.monotonic(), []
        while company.open():
            memory.append(rig.rss("worker-1") / 2**20)
            time.sleep(0.5)
        seconds = time.monotonic() - began
        calls = rig.rows(
            "SELECT count(*) + count(*) FILTER (WHERE state = 'undone') FROM flow_steps WHERE path <> 'produce'"
        )
        wrong = company.wrong()
        quarter = max(len(memory) // 4, 1)
        return {
            "deals": deals,
            "seconds": seconds,
            "runs_per_second": deals / seconds,
            "calls_per_second": calls[0][0] / seconds,
            "states": company.states(),
            "cpu_ms_per_run": rig.cpu("worker-1") / deals * 1000,
            "memory_mb": {
                "second_quarter": max(memory[quarter : 2 * quarter], default=0.0),
                "last_quarter": max(memory[-quarter:]),
            },
            "grown_mb": max(memory[-quarter:]) - max(memory[quarter : 2 * quarter], default=0.0),
            "lost": len(wrong),
        }


def _declare(rig: Rig) -> None:
    integration, flow, waits = Integration(new_uuid()), Flow(new_uuid()), Flow(new_uuid())
    integration.create("none", {"name": "none", "plugin": "hostile", "config": {}}, 1, {})
    step = {"call": "none.answer.give", "with": {"how": {"value": "good"}}}
    steps = [{"id": f"s{number}", **step} for number in range(1, STEPS + 1)]
    flow.create("steps", {"name": "steps", "events": ["thing.wanted"], "steps": steps}, 1, {})
    wait = {"event": "thing.made", "where": "arrived.data.order == data.order"}
    waits.create("waits", {"name": "waits", "steps": [{"id": "w", "wait_for": wait}]}, 1, {})
    with rig.product.tx() as tx:
        tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
        integration.activate()
        INTEGRATIONS.add(tx, integration)
        for each in (flow, waits):
            each.activate()
            FLOWS.add(tx, each)


def _publish(rig: Rig, count: int, type_: str = "thing.wanted") -> None:
    session = _session(rig)
    for start in range(0, count, 500):
        items = [{"type": type_, "data": {"n": number}} for number in range(start, min(start + 500, count))]
        session.post(f"{rig.url}/api/v1/events", data=json.dumps(items), timeout=60).raise_for_status()


def _offer(rig: Rig, rate: float, seconds: float) -> None:
    """Publish events singly at fixed moments."""
    session, began = _session(rig), time.monotonic()
    for number in range(int(rate * seconds)):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        body = json.dumps({"type": "thing.wanted", "data": {"n": number}})
        session.post(f"{rig.url}/api/v1/events", data=body, timeout=60).raise_for_status()


def _session(rig: Rig) -> requests.Session:
    session = requests.Session()
    session.headers.update({"Authorization": f"Bearer {rig.token}", "Content-Type": "application/json"})
    return session


def _drained(rig: Rig, runs: int) -> dict[str, Any]:
    rig.until(lambda: rig.rows(_OPEN)[0][0] <= runs - WARM, 120, "the first runs end")
    before, cpu, began = rig.rows(_OPEN)[0][0], rig.cpu("worker-1"), time.monotonic()
    rig.until(lambda: not rig.rows(_OPEN)[0][0], 300, "all runs end")
    seconds, cpu = time.monotonic() - began, rig.cpu("worker-1") - cpu
    done = rig.rows("SELECT count(*) FROM flow_steps WHERE state = 'done'")[0][0]
    return {
        "runs": before,
        "steps_per_second": before * STEPS / seconds,
        "cpu_ms_per_step": cpu / (before * STEPS) * 1000,
        "worker_rss_mb": rig.rss("worker-1") / 2**20,
        "lost": runs * STEPS - done,
    }


def _idle(rig: Rig) -> float:
    """Return the share of a core that the worker takes while there is nothing to do."""
    time.sleep(3.0)
    cpu, began = rig.cpu("worker-1"), time.monotonic()
    time.sleep(IDLE_SECONDS)
    return (rig.cpu("worker-1") - cpu) / (time.monotonic() - began) * 100


def _wake(rig: Rig, order: int) -> float:
    """Let the event come that one run waits for; return the seconds until it has ended."""
    body = json.dumps({"type": "thing.made", "data": {"order": order}})
    ended = f"SELECT 1 FROM flow_runs WHERE data ->> 'order' = '{order}' AND ended_at IS NOT NULL AND cause = 'person'"
    session, began = _session(rig), time.monotonic()
    session.post(f"{rig.url}/api/v1/events", data=body, timeout=60).raise_for_status()
    while not rig.rows(ended):
        time.sleep(0.005)
    return time.monotonic() - began
