"""Behind a backlog nobody starves: workspaces take turns, in each its priorities and lanes do, and limits hold over all claimers."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from server.queue import claims
from server.queue.claims import HIGH, LOW, NORMAL, Claimer, Due

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.product import Product

KIND = "delivery"


def put(
    product: Product, workspace: int, lanes: Sequence[UUID], each: int, *, most: int = 10, priority: int = NORMAL
) -> None:
    """Put `each` rows of every lane on the table, all of them older than what comes later."""
    work = [Due(uuid4(), workspace, lane, None, most, priority) for lane in lanes for _ in range(each)]
    with product.core.engine.connect() as conn:
        claims.add(conn, KIND, work)


def rounds(product: Product, claimer: Claimer, number: int, limit: int = 50) -> list[list[claims.Claim]]:
    """Claim and finish, again and again."""
    found = []
    for _ in range(number):
        with product.core.engine.connect() as conn:
            mine = claimer(conn, limit)
            claims.finish(conn, KIND, mine)
        found.append(mine)
    return found


def test_a_workspace_with_one_delivery_does_not_wait_for_one_with_thousands(product: Product) -> None:
    put(product, 1, [uuid4() for _ in range(300)], 10)
    put(product, 2, [uuid4()], 1)
    [first] = rounds(product, Claimer(KIND), 1)
    assert Counter(each.workspace_id for each in first) == {1: 49, 2: 1}


def test_workspaces_with_backlogs_get_the_same_share(product: Product) -> None:
    for workspace, lanes in enumerate((1, 20, 300), start=1):
        put(product, workspace, [uuid4() for _ in range(lanes)], 3000 // lanes, most=1000)
    shares = Counter(each.workspace_id for mine in rounds(product, Claimer(KIND), 6, 60) for each in mine)
    assert shares == {1: 120, 2: 120, 3: 120}


def test_more_workspaces_than_a_claim_has_room_for_take_turns(product: Product) -> None:
    for workspace in range(1, 31):
        put(product, workspace, [uuid4()], 20)
    served = Counter(each.workspace_id for mine in rounds(product, Claimer(KIND), 6, 10) for each in mine)
    assert served == dict.fromkeys(range(1, 31), 2)


def test_every_lane_gets_its_turn_before_one_gets_a_second(product: Product) -> None:
    lanes = [uuid4() for _ in range(40)]
    put(product, 1, lanes, 10, most=5)
    found = rounds(product, Claimer(KIND), 4)
    assert Counter(each.lane for mine in found for each in mine) == dict.fromkeys(lanes, 5)


def test_a_full_lane_with_a_long_backlog_hides_nobody(product: Product) -> None:
    full, free = uuid4(), uuid4()
    put(product, 1, [full], 2000, most=2)
    claimer = Claimer(KIND)
    with product.core.engine.connect() as conn:
        assert len(claimer(conn, 50)) == 2
        put(product, 1, [free], 1)
        assert [each.lane for each in claimer(conn, 50)] == [free]
        assert claimer(conn, 50) == []


@pytest.mark.parametrize("backlog", [5, 200])
def test_a_slow_lane_has_one_under_way(product: Product, backlog: int) -> None:
    slow, good = uuid4(), uuid4()
    put(product, 1, [slow, good], backlog)
    claimer = Claimer(KIND)
    with product.core.engine.connect() as conn:
        found = Counter(each.lane for each in claimer(conn, 50, [slow]))
        assert found == {slow: 1, good: min(10, backlog)}
        assert claimer(conn, 50, [slow]) == []


@pytest.mark.parametrize("backlog", [5, 200])
def test_a_limit_holds_while_many_claim_at_once(product: Product, backlog: int) -> None:
    lane = uuid4()
    put(product, 1, [lane], backlog, most=3)

    def one(_: int) -> int:
        with product.core.engine.connect() as conn:
            return len(claims.claim(conn, KIND, 50))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(16))) == 3


def test_many_lanes_of_one_row_are_all_claimed_and_none_twice(product: Product) -> None:
    lanes = [uuid4() for _ in range(900)]
    put(product, 1, lanes, 1)
    mine = [each for some in rounds(product, Claimer(KIND), 10, 100) for each in some]
    assert Counter(each.lane for each in mine) == dict.fromkeys(lanes, 1)


@pytest.mark.parametrize("deep", [(0,), (450,), (899,), (10, 11, 12, 600), tuple(range(0, 900, 7))])
def test_deep_lanes_among_shallow_ones_get_what_they_may_and_hide_nobody(
    product: Product, deep: tuple[int, ...]
) -> None:
    lanes = sorted(uuid4() for _ in range(900))
    put(product, 1, [lane for number, lane in enumerate(lanes) if number not in deep], 1)
    put(product, 1, [lanes[number] for number in deep], 60, most=4)
    claimer, took, served = Claimer(KIND), 0, Counter[UUID]()
    with product.core.engine.connect() as conn:
        while took < 900:  # nothing ends: so each lane is served once, up to its limit
            mine = claimer(conn, 100)
            assert mine, served
            took += len({each.lane for each in mine} - set(served))
            served.update(each.lane for each in mine)
        served.update(each.lane for each in claimer(conn, 1000))
    assert served == dict.fromkeys(lanes, 1) | {lanes[number]: 4 for number in deep}


def test_shallow_lanes_keep_their_limits_and_the_slow_ones_theirs(product: Product) -> None:
    lanes = sorted(uuid4() for _ in range(300))
    put(product, 1, lanes, 3, most=2)
    slow = lanes[100:200]
    claimer, served = Claimer(KIND), Counter[UUID]()
    with product.core.engine.connect() as conn:
        for _ in range(8):
            served.update(each.lane for each in claimer(conn, 100, slow))
    assert served == {lane: 1 if lane in slow else 2 for lane in lanes}


def test_a_round_over_shallow_lanes_goes_on_where_it_stopped(product: Product) -> None:
    lanes = sorted(uuid4() for _ in range(400))
    put(product, 1, lanes, 2, most=1)
    found = rounds(product, Claimer(KIND), 8, 100)
    turns = [[each.lane for each in mine] for mine in found]
    assert [lane for mine in turns[:4] for lane in sorted(mine)] == lanes, "each has a turn before one has a second"
    assert Counter(lane for mine in turns for lane in mine) == dict.fromkeys(lanes, 2)


def test_without_a_backlog_the_higher_priority_goes_first(product: Product) -> None:
    lanes = {priority: uuid4() for priority in (LOW, NORMAL, HIGH)}
    for priority, lane in lanes.items():
        put(product, 1, [lane], 10, priority=priority)
    order = [lane for mine in rounds(product, Claimer(KIND), 3, 10) for lane in {each.lane for each in mine}]
    assert order == [lanes[HIGH], lanes[NORMAL], lanes[LOW]]


def test_behind_a_backlog_high_goes_most_often_and_low_does_not_starve(product: Product) -> None:
    lanes = {priority: uuid4() for priority in (LOW, NORMAL, HIGH)}
    for priority, lane in lanes.items():
        put(product, 1, [lane], 1500, most=1000, priority=priority)
    found = rounds(product, Claimer(KIND, Random(7)), 100, 10)
    shares = Counter(each.lane for mine in found for each in mine)
    high, normal, low = (shares[lanes[priority]] for priority in (HIGH, NORMAL, LOW))
    assert high + normal + low == 1000
    assert high > 2 * normal > 4 * low > 0


def test_what_is_not_due_yet_takes_no_turn(product: Product) -> None:
    later, now = [uuid4() for _ in range(50)], uuid4()
    put(product, 1, later, 10)
    with product.core.engine.connect() as conn:
        conn.execute(text("UPDATE due SET due_at = now() + interval '1 hour'"))
    put(product, 1, [now], 300, most=1000)
    [mine] = rounds(product, Claimer(KIND), 1)
    assert {each.lane for each in mine} == {now}
    assert len(mine) == 50


def test_work_that_is_older_than_all_that_waited_is_found_within_a_second(product: Product) -> None:
    seconds = 0.0
    claimer = Claimer(KIND, monotonic=lambda: seconds)
    with product.core.engine.connect() as conn:
        assert claimer(conn, 10) == []
    put(product, 1, [uuid4()], 1)
    with product.core.engine.connect() as conn:
        conn.execute(text("UPDATE due SET due_at = now() - interval '1 day'"))
    with product.core.engine.connect() as conn:
        assert claimer(conn, 10) == [], "it does not look that far back, this second"
        seconds = 1.0
        assert len(claimer(conn, 10)) == 1
