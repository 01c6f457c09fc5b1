"""A claim is a lease with an epoch: one owner at a time, and a late result changes nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from sqlalchemy import text

from server import bootstrap
from server.queue import claims
from server.queue.claims import Due

if TYPE_CHECKING:
    from tests.support.product import Product

KIND = "delivery"


def put(product: Product, count: int, lane: UUID | None = None, most: int = 10) -> list[UUID]:
    refs = [uuid4() for _ in range(count)]
    with product.core.engine.connect() as conn:
        claims.add(conn, KIND, [Due(ref, product.scope.workspace_id, lane or uuid4(), None, most) for ref in refs])
    return refs


def take(product: Product, limit: int = 100) -> list[claims.Claim]:
    with product.core.engine.connect() as conn:
        return claims.claim(conn, KIND, limit)


def expire(product: Product) -> None:
    with product.core.engine.connect() as conn:
        conn.execute(text("UPDATE due SET due_at = now() - interval '1 second' WHERE due_at < 'infinity'"))


def test_what_is_claimed_is_claimed_by_nobody_else(product: Product) -> None:
    refs = put(product, 50)
    with ThreadPoolExecutor(8) as pool:
        taken = [claim.ref for batch in pool.map(lambda _: take(product, 10), range(12)) for claim in batch]
    assert sorted(taken) == sorted(refs)


def test_an_expired_lease_is_due_again_with_a_new_epoch_and_the_old_result_is_dropped(product: Product) -> None:
    put(product, 1)
    [first] = take(product)
    assert take(product) == []
    expire(product)
    [second] = take(product)
    assert second.epoch > first.epoch
    assert second.claims == 2
    with product.core.engine.connect() as conn:
        assert claims.finish(conn, KIND, [first]) == set()
        assert claims.postpone(conn, KIND, [first], ["infinity"]) == set()
        assert claims.heartbeat(conn, KIND, [first]) == set()
        assert claims.finish(conn, KIND, [second]) == {second.ref}


def test_an_orphan_does_not_queue_behind_a_backlog(product: Product) -> None:
    lane = uuid4()
    orphans = put(product, 3, lane, most=3)
    take(product)
    backlog = put(product, 10, lane, most=3)
    with product.core.engine.connect() as conn:  # the backlog is older than the moment at which the leases ran out
        conn.execute(text("UPDATE due SET due_at = now() - interval '1 hour' WHERE NOT leased"))
        conn.execute(text("UPDATE due SET due_at = now() - interval '1 second' WHERE leased"))
    assert sorted(claim.ref for claim in take(product)) == sorted(orphans)
    assert take(product) == []
    assert len(backlog) == 10


def test_a_heartbeat_keeps_the_lease(product: Product) -> None:
    put(product, 1)
    [claim] = take(product)
    with product.core.engine.connect() as conn:
        conn.execute(text("UPDATE due SET due_at = now() + interval '10 milliseconds'"))
    with product.core.engine.connect() as conn:
        assert claims.heartbeat(conn, KIND, [claim]) == {claim.ref}
    [row] = product.rows("SELECT extract(epoch FROM due_at - now()) AS left FROM due")
    assert 5 < row.left <= claims.LEASE_SECONDS


def test_a_lane_takes_no_more_than_its_limit_over_all_claimers(product: Product) -> None:
    lane, free = uuid4(), uuid4()
    put(product, 30, lane, 3)
    put(product, 5, free)
    first = take(product)
    assert sorted(each.lane for each in first) == sorted([lane] * 3 + [free] * 5)
    assert take(product) == []
    with product.core.engine.connect() as conn:
        claims.finish(conn, KIND, [each for each in first if each.lane == lane][:2])
    assert len(take(product)) == 2


def test_a_full_lane_does_not_hide_the_others(product: Product) -> None:
    lane = uuid4()
    put(product, 500, lane)
    take(product)
    [ref] = put(product, 1)
    assert [each.ref for each in take(product)] == [ref]


def test_held_work_is_not_claimed_until_it_is_released(product: Product) -> None:
    put(product, 1)
    [claim] = take(product)
    with product.core.engine.connect() as conn:
        claims.postpone(conn, KIND, [claim], ["infinity"], uncount=True)
    assert take(product) == []
    with product.core.engine.connect() as conn:
        claims.add(conn, KIND, [Due(claim.ref, claim.workspace_id, claim.lane)])
    [again] = take(product)
    assert again.claims == 1


def test_oldest_work_goes_first(product: Product) -> None:
    refs = put(product, 3)
    with product.core.engine.connect() as conn:
        for age, ref in enumerate(refs):
            conn.execute(
                text("UPDATE due SET due_at = now() - :age * interval '1 minute' WHERE ref = :ref"),
                {"age": age, "ref": ref},
            )
    assert [take(product, 1)[0].ref for _ in refs] == refs[::-1]


def test_which_work_is_due_is_known_without_reading_a_backlog(product: Product) -> None:
    put(product, 300)
    kinds = ["reaction", "flow", "sync"]
    parts = bootstrap.worker(product.settings, built=product.core)
    with parts.deliveries.store.statements() as conn:
        assert claims.due_kinds(conn, kinds) == set()
        plan = conn.exec_driver_sql("EXPLAIN " + claims._DUE_KINDS, {"kinds": kinds}).scalars().all()
        waits, held = Due(uuid4(), product.scope.workspace_id, uuid4()), Due(uuid4(), 1, uuid4(), "infinity")
        claims.add(conn, "reaction", [waits])
        claims.add(conn, "sync", [held])
        assert claims.due_kinds(conn, kinds) == {"reaction"}
        claims.claim(conn, "reaction", 1)
        assert claims.due_kinds(conn, kinds) == set()
        conn.exec_driver_sql("UPDATE due SET due_at = now() - interval '1 second' WHERE kind = 'reaction'")
        assert claims.due_kinds(conn, kinds) == {"reaction"}, "what a dead worker left is due"
    parts.deliveries.store.close()
    assert "Seq Scan" not in " ".join(plan)
    assert sum("due_next" in line or "due_leased" in line for line in plan) == 2
