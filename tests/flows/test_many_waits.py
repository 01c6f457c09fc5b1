"""An event that very many runs wait for: its publisher does not wait for them, and each of them is waked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from server.events.envelope import NewEvent
from server.flows.arriving import AT_ONCE, KIND, Arriving
from server.kernel.ids import new_uuid
from server.queue import claims

if TYPE_CHECKING:
    from tests.flows.running import Flowing

MANY = 20_000
SECONDS = 0.5
_WAITS = """
WITH ids AS (
  SELECT CAST(substr(:before, 1, 24) || lpad(to_hex(n), 12, '0') AS uuid) AS id FROM generate_series(1, :many) n
), made AS (
  INSERT INTO flow_runs (id, workspace_id, flow_id, definition_version, state, cause, data, priority, principal, correlation_id)
  SELECT id, :workspace_id, :flow, 1, 'waiting', 'person', '{}', 1, 'user:anna', 'cor_1' FROM ids
)
INSERT INTO flow_waits (workspace_id, run_id, path, type, field, value, needed)
SELECT :workspace_id, id, 'w', 'gate.opened', 'data.gate', '"north"', 1 FROM ids
"""


def wait(flows: Flowing, many: int, name: str = "f", before: str | None = None) -> None:
    flow = flows.flow(
        name, [{"id": "w", "wait_for": {"event": "gate.opened", "where": "arrived.data.gate == data.gate"}}]
    )
    with flows.product.tx() as tx:
        tx.run(_WAITS, before=before or str(new_uuid()), flow=flow, many=many)


def publish(flows: Flowing) -> float:
    """Publish the event; return how long that took, in seconds."""
    began = time.perf_counter()
    with flows.product.tx() as tx:
        flows.core.publisher.publish(tx, [NewEvent(type="gate.opened", data='{"gate": "north"}')])
    return time.perf_counter() - began


def count(flows: Flowing, table: str, kind: str | None = None) -> int:
    where = f" WHERE kind = '{kind}'" if kind else ""
    return int(flows.product.rows(f"SELECT count(*) AS n FROM {table}{where}")[0].n)


def test_an_event_for_which_very_many_runs_wait_is_published_at_once_and_wakes_them_all(flows: Flowing) -> None:
    wait(flows, MANY)
    assert publish(flows) < SECONDS
    assert (count(flows, "flow_arrivals"), count(flows, "due", KIND)) == (0, 1)
    assert Arriving(flows.core.engine, flows.core.hint).drain() == 1
    assert (count(flows, "flow_arrivals"), count(flows, "due", "flow_wake")) == (MANY, MANY)
    assert count(flows, "due", KIND) == 0


def test_a_kill_in_the_middle_of_the_arrivals_loses_none_and_none_arrives_twice(flows: Flowing) -> None:
    wait(flows, AT_ONCE * 2 + 1)
    publish(flows)
    engine = flows.core.engine
    pieces: list[int] = []
    Arriving(engine, lambda: _take(flows, pieces)).drain()
    assert count(flows, "flow_arrivals") == AT_ONCE + 1
    with engine.connect() as conn:
        assert claims.due_kinds(conn, [KIND]) == {KIND}
    Arriving(engine, flows.core.hint).drain()
    assert (count(flows, "flow_arrivals"), count(flows, "due", KIND)) == (AT_ONCE * 2 + 1, 0)


def _take(flows: Flowing, pieces: list[int]) -> None:
    """Let another have the claim after the first piece."""
    pieces.append(1)
    if len(pieces) == 1:
        with flows.core.engine.connect() as conn:
            conn.exec_driver_sql(
                "UPDATE due SET due_at = now(), leased = false, epoch = epoch + 1 WHERE kind = %s", (KIND,)
            )


def test_one_whose_correlation_began_after_the_event_is_not_told_of_it(flows: Flowing) -> None:
    wait(flows, AT_ONCE + 1)
    publish(flows)
    wait(flows, 3, "late", "ffffffff-0000-7000-8000-")
    Arriving(flows.core.engine, flows.core.hint).drain()
    assert count(flows, "flow_arrivals") == AT_ONCE + 1
