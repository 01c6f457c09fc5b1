"""One event for many webhooks: written out and claimed in one, in pieces, as there is room to send them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server import bootstrap
from server.kernel.policies import parse_duration
from server.queue import claims
from server.queue.claims import Claim, Due
from server.webhooks import fanouts, owing
from tests.support.product import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from tests.support.product import Product
    from tests.support.receiver import Receiver

HOOKS = ("a", "b", "c", "d", "e")
PARTS = st.tuples(st.decimals(0, 999, places=2).map(str), st.sampled_from(("ms", "s", "m", "h", "d"))).map("".join)


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owing, "FANOUT_ABOVE", 2)


@pytest.fixture
def hooks(product: Product, receiver: Receiver) -> dict[str, UUID]:
    for name in HOOKS:
        product.webhook(name, f"{receiver.url}/{name}")
    return {row.name: row.id for row in product.rows("SELECT id, name FROM webhooks")}


@pytest.fixture(scope="module")
def seconds_of(reused_database: str) -> Iterator[Callable[[list[str]], list[float]]]:
    with psycopg.connect(reused_database.replace("+psycopg", "")) as conn:

        def ask(texts: list[str]) -> list[float]:
            rows = conn.execute("SELECT crossdock_seconds(t) FROM unnest(%s::text[]) AS t", [texts]).fetchall()
            return [row[0] for row in rows]

        yield ask


def take(product: Product, limit: int = 100, slow: tuple[UUID, ...] = ()) -> list[Claim] | None:
    with product.core.engine.connect() as conn:
        return fanouts.take(conn, limit, product.core.clock.now(), slow)


def claimed(product: Product) -> list[Claim]:
    with product.core.engine.connect() as conn:
        return claims.claim(conn, "delivery", 100)


@settings(max_examples=30, deadline=None)
@given(texts=st.lists(st.lists(PARTS, min_size=1, max_size=3).map("".join), min_size=20, max_size=20))
def test_the_database_reads_durations_as_we_do(
    seconds_of: Callable[[list[str]], list[float]], texts: list[str]
) -> None:
    assert seconds_of(texts) == pytest.approx([parse_duration(each) for each in texts])


@pytest.mark.usefixtures("hooks")
def test_what_is_written_is_leased_to_whoever_asked(product: Product) -> None:
    product.publish({})
    pieces = [take(product, 2) for _ in range(4)]
    assert [None if piece is None else len(piece) for piece in pieces] == [2, 2, 1, None]
    mine = [each for piece in pieces for each in piece or ()]
    assert len({each.lane for each in mine}) == len(HOOKS)
    assert claimed(product) == [], "nobody else gets them"
    with product.core.engine.connect() as conn:
        assert claims.heartbeat(conn, "delivery", mine) == {each.ref for each in mine}
    assert product.rows("SELECT 1 FROM fanouts") == []
    assert product.rows("SELECT 1 FROM due WHERE kind = 'fanout'") == []


@pytest.mark.usefixtures("hooks")
def test_what_a_worker_took_and_left_is_due_again_when_its_lease_ends(product: Product) -> None:
    product.publish({})
    taken = take(product) or []
    with product.core.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE due SET due_at = now() - interval '1 second'")
    again = claimed(product)
    assert {each.ref for each in again} == {each.ref for each in taken}
    with product.core.engine.connect() as conn:
        assert claims.finish(conn, "delivery", taken) == set(), "the first lease is over"


@pytest.mark.usefixtures("hooks")
def test_many_workers_write_each_once(product: Product) -> None:
    for _ in range(4):
        product.publish({})
    with ThreadPoolExecutor(4) as pool:
        pieces = list(pool.map(lambda _: take(product, 1), range(24)))
    taken = [each.ref for piece in pieces for each in piece or ()]
    rows = product.rows("SELECT webhook_id, event_uid FROM deliveries")
    assert len(rows) == len({(row.webhook_id, row.event_uid) for row in rows}) == 4 * len(HOOKS)
    assert len(taken) == len(set(taken)), "nobody has what another has"
    rest = {each.ref for each in claimed(product)}
    assert len(rest) == 4 * len(HOOKS) - len(taken), "what found its lane busy is left to the claims"


def test_lanes_that_are_busy_or_slow_are_left_to_the_claims(product: Product, hooks: dict[str, UUID]) -> None:
    product.act("c", "pause")
    with product.core.engine.connect() as conn:
        claims.add(conn, "delivery", [Due(hooks["a"], product.scope.workspace_id, hooks["a"])])
    [busy] = claimed(product)
    product.publish({})
    taken = take(product, slow=(hooks["b"],)) or []
    assert {each.lane for each in taken} == {hooks["d"], hooks["e"]}
    states = {row.webhook_id: row.state for row in product.rows("SELECT webhook_id, state FROM deliveries")}
    assert states == {hooks[name]: "held" if name == "c" else "pending" for name in HOOKS}
    assert {each.lane for each in claimed(product)} == {hooks["a"], hooks["b"]}
    assert busy.lane == hooks["a"]


@pytest.mark.usefixtures("hooks")
def test_fan_outs_take_turns(product: Product) -> None:
    product.publish({"n": 1})
    product.publish({"n": 2})
    for _ in range(4):
        take(product, 1)
    counts = product.rows("SELECT count(*) AS n FROM deliveries GROUP BY event_uid")
    assert [row.n for row in counts] == [2, 2]


@pytest.mark.usefixtures("hooks")
def test_behind_a_backlog_a_fan_out_gets_half_of_the_room(product: Product) -> None:
    worker = bootstrap.worker(product.settings, built=product.core)
    product.publish({})
    with product.core.engine.connect() as conn:
        waiting = [Due(new, product.scope.workspace_id, new) for new in (uuid4() for _ in HOOKS)]
        claims.add(conn, "delivery", waiting)
    worker.deliveries.fan_out()
    with product.core.engine.connect() as conn:
        first, of_one = worker.deliveries._claim_due(conn, 2)
        assert (len(first), of_one) == (2, 0), "what waits is seen first"
        second, of_one = worker.deliveries._claim_due(conn, 2)
        assert (len(second), of_one) == (2, 1)
        rest, of_one = worker.deliveries._claim_due(conn, 100)
        assert len(rest) - of_one == 2
    assert of_one == len(HOOKS) - 1


def test_webhooks_of_another_workspace_get_nothing(product: Product, receiver: Receiver) -> None:
    product.webhook("theirs", receiver.url, scope=product.workspace("other", "place"))
    with product.core.engine.connect() as conn:
        conn.exec_driver_sql(
            "INSERT INTO fanouts SELECT gen_random_uuid(), %(mine)s, gen_random_uuid(), array_agg(id) FROM webhooks",
            {"mine": product.scope.workspace_id},
        )
        conn.exec_driver_sql(
            "INSERT INTO due (kind, ref, workspace_id, lane, due_at) SELECT 'fanout', id, workspace_id, id, now() FROM fanouts"
        )
    while (taken := take(product)) is not None:
        assert taken == []
    assert product.states() == {}
    assert product.rows("SELECT 1 FROM fanouts") == []


@pytest.mark.usefixtures("hooks")
def test_an_event_that_retention_has_taken_is_owed_to_nobody(product: Product, receiver: Receiver) -> None:
    product.publish({})
    with product.core.engine.connect() as conn:
        conn.exec_driver_sql("DELETE FROM events")
    with product.worker():
        until(lambda: product.rows("SELECT 1 FROM due WHERE kind IN ('fanout', 'delivery')") == [])
    assert receiver.hits == []


@pytest.mark.usefixtures("hooks")
def test_each_subscriber_gets_the_event_as_if_it_were_alone(product: Product, receiver: Receiver) -> None:
    with product.worker():
        product.publish({"n": 1}, {"n": 2})
        until(lambda: product.states() == {"delivered": 2 * len(HOOKS)})
    assert sorted((hit.path, json.loads(hit.body)["data"]["n"]) for hit in receiver.hits) == [
        (f"/{name}", n) for name in HOOKS for n in (1, 2)
    ]
    ids = product.rows("SELECT message_id FROM deliveries")
    assert {hit.headers["webhook-id"] for hit in receiver.hits} == {row.message_id for row in ids}
