"""Records of many runs in one transaction: one that lost its lease, or that cannot be stored, spoils no other."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from server.flows.progress import Record, TakenOver
from server.flows.recording import Recorder
from server.flows.rows import Row
from server.kernel.errors import Unavailable
from server.queue import claims
from server.queue.claims import Claim, Due

if TYPE_CHECKING:
    from uuid import UUID

    from tests.flows.running import Flowing

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def claimed(flows: Flowing, count: int) -> list[Claim]:
    flow = flows.flow("f", [{"id": "s", "sleep": "1d"}])
    for _ in range(count):
        flows.start(flow)
    with flows.core.engine.connect() as conn:
        return claims.claim(conn, "flow", count)


def stored(flows: Flowing) -> set[UUID]:
    return {row.run_id for row in flows.product.rows("SELECT run_id FROM flow_steps")}


def record_all(flows: Flowing, mine: list[Claim], paths: list[str]) -> list[Exception | None]:
    """Record a step of each run at the same time; return what came of each."""
    recorder = Recorder(flows.ledger)
    came: list[Exception | None] = [None] * len(mine)
    together = threading.Barrier(len(mine))

    def record(number: int) -> None:
        together.wait()
        try:
            recorder.record(Record(mine[number], [Row(paths[number], began_at=NOW)]))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
            came[number] = error

    threads = [threading.Thread(target=record, args=(number,)) for number in range(len(mine))]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
    return came


def test_one_that_lost_its_lease_records_nothing_and_the_others_do(flows: Flowing) -> None:
    mine = claimed(flows, 8)
    lost = mine[3]
    with flows.core.engine.connect() as conn:
        claims.add(conn, "flow", [Due(lost.ref, lost.workspace_id, lost.lane)])
    came = record_all(flows, mine, ["s"] * 8)
    assert [type(each) for each in came if each is not None] == [TakenOver]
    assert isinstance(came[3], TakenOver)
    assert stored(flows) == {each.ref for each in mine} - {lost.ref}


def test_one_that_cannot_be_stored_fails_alone(flows: Flowing) -> None:
    mine = claimed(flows, 8)
    came = record_all(flows, mine, ["s", "s", "no\x00text", "s", "s", "s", "s", "s"])
    assert [number for number, each in enumerate(came) if each is not None] == [2]
    assert stored(flows) == {each.ref for each in mine} - {mine[2].ref}


def test_while_the_database_is_away_it_is_said(flows: Flowing) -> None:
    (mine,) = claimed(flows, 1)
    broken = Recorder(type(flows.ledger)("postgresql+psycopg://nobody@127.0.0.1:1/none", "crossdock_engine"))
    with pytest.raises(Unavailable):
        broken.record(Record(mine, [Row("s", began_at=NOW)]))
