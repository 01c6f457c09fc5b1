"""A job can be stopped, killed, taken over and slowed down at any moment, and makes each delivery once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from server.kernel.ids import read
from server.queue import claims
from server.replays import candidates, drain, making
from tests.replays.replaying import HOOK, act, ask, end, finish, made, run, see, work

if TYPE_CHECKING:
    from tests.support.product import Product

ALL = {"webhook": "hook"}


@pytest.fixture
def ten(product: Product, monkeypatch: pytest.MonkeyPatch) -> Product:
    """Ten deliveries that ended, and slices of three."""
    monkeypatch.setattr(drain, "SLICE", 3)
    product.webhook("hook", HOOK)
    product.publish(*[{"n": n} for n in range(10)])
    end(product)
    return product


def once_each(product: Product) -> None:
    """Fail unless each of the ten was replayed exactly once."""
    rows = product.rows("SELECT replayed_from, count(*) AS n FROM deliveries WHERE replay_id IS NOT NULL GROUP BY 1")
    assert [row.n for row in rows] == [1] * 10
    [due] = product.rows("SELECT count(*) AS n FROM due WHERE kind = 'delivery'")
    assert due.n == 10


def test_it_counts_first_and_then_makes_a_slice_at_a_time(ten: Product) -> None:
    replay = ask(ten, filter=ALL)
    seen = []
    while work(ten):
        now = see(ten, replay)
        seen.append((now["state"], now["total"], now["done"]))
    assert seen == [("running", 10, n) for n in (0, 3, 6, 9)] + [("done", 10, 10)]
    assert see(ten, replay)["finished_at"] is not None
    once_each(ten)


def test_few_among_many_are_found_page_by_page_and_what_owes_much_is_looked_at_in_small_steps(
    ten: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("_FEW", 4), ("_MANY", 5), ("_MOST_EVENTS", 6), ("_LOOKED", 3)):
        monkeypatch.setattr(candidates, name, value)
    run(ten, "UPDATE deliveries SET state = 'dead' WHERE id = (SELECT id FROM deliveries ORDER BY id DESC LIMIT 1)")
    assert ask(ten, 200, filter=ALL, dry_run=True)["count"] == 10
    found = ask(ten, 200, filter={"status": ["dead"]}, dry_run=True)
    assert (found["count"], len(found["samples"])) == (1, 1)
    replay = ask(ten, filter=ALL)
    finish(ten)
    assert (see(ten, replay)["total"], see(ten, replay)["done"]) == (10, 10)
    once_each(ten)


@pytest.mark.parametrize("slices", [0, 1, 2, 4])
def test_paused_it_does_nothing_and_resumed_it_goes_on_where_it_was(ten: Product, slices: int) -> None:
    replay = ask(ten, filter=ALL)
    for _ in range(slices):
        work(ten)
    before = see(ten, replay)["done"]
    assert act(ten, replay, "pause").json["state"] == "paused"
    assert ten.rows("SELECT FROM due WHERE kind = 'replay' AND due_at < 'infinity'") == [], "nobody even looks at it"
    finish(ten)
    assert (see(ten, replay)["state"], see(ten, replay)["done"]) == ("paused", before)
    resumed = act(ten, replay, "resume").json
    assert (resumed["state"], resumed["total"]) == ("counting", None)
    finish(ten)
    now = see(ten, replay)
    assert (now["state"], now["total"], now["done"], now["skipped"]) == ("done", 10, 10, 0)
    once_each(ten)


def test_cancelled_it_keeps_what_it_made_and_makes_no_more(ten: Product) -> None:
    replay = ask(ten, filter=ALL)
    work(ten)
    work(ten)
    cancelled = act(ten, replay, "cancel").json
    assert (cancelled["state"], cancelled["done"]) == ("cancelled", 3)
    assert cancelled["finished_at"] is not None
    finish(ten)
    assert len(made(ten)) == 3
    assert ten.rows("SELECT FROM due WHERE kind = 'replay'") == []


REFUSED = [
    ([], "resume"),
    (["pause"], "pause"),
    (["cancel"], "pause"),
    (["cancel"], "resume"),
    (["cancel"], "cancel"),
    (["finish"], "pause"),
    (["finish"], "resume"),
    (["finish"], "cancel"),
]


@pytest.mark.parametrize(("steps", "action"), REFUSED)
def test_what_its_state_does_not_allow_is_refused_and_changes_nothing(
    ten: Product, steps: list[str], action: str
) -> None:
    replay = ask(ten, filter=ALL)
    for step in steps:
        if step == "finish":
            finish(ten)
        else:
            assert act(ten, replay, step).status_code == 200
    before = see(ten, replay)
    answer = act(ten, replay, action)
    assert (answer.status_code, answer.json["code"]) == (409, "WRONG_STATE")
    assert see(ten, replay) == before


def test_a_slice_that_dies_before_its_commit_has_done_nothing(ten: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def dies(*_: Any) -> None:
        raise Killed

    replay = ask(ten, filter=ALL)
    work(ten)
    work(ten)
    with monkeypatch.context() as patch:
        patch.setattr(claims, "postpone", dies)  # all of the slice is written by then, but for the lease
        with pytest.raises(Killed):
            work(ten)
    assert (see(ten, replay)["done"], len(made(ten))) == (3, 3)
    assert work(ten) == 0, "its lease holds it for others"
    run(ten, "UPDATE due SET due_at = now() WHERE kind = 'replay'")
    finish(ten)
    assert see(ten, replay)["done"] == 10
    once_each(ten)


def test_a_zombie_whose_lease_is_anothers_changes_nothing(ten: Product) -> None:
    replay = ask(ten, filter=ALL)
    work(ten)
    with ten.core.engine.connect() as conn:
        [zombie] = claims.claim(conn, drain.KIND, 1)
    run(ten, "UPDATE due SET due_at = now() WHERE kind = 'replay'")
    work(ten)
    before = see(ten, replay)
    assert before["done"] == 3
    assert drain._slice(ten.core.engine, ten.core.reopening, zombie) == 0
    assert (see(ten, replay), len(made(ten))) == (before, 3)
    finish(ten)
    once_each(ten)


def test_pausing_takes_the_lease_from_whoever_is_at_work(ten: Product) -> None:
    replay = ask(ten, filter=ALL)
    work(ten)
    with ten.core.engine.connect() as conn:
        [claim] = claims.claim(conn, drain.KIND, 1)
    act(ten, replay, "pause")
    assert drain._slice(ten.core.engine, ten.core.reopening, claim) == 0
    assert made(ten) == []
    act(ten, replay, "resume")
    finish(ten)
    once_each(ten)


def test_what_breaks_again_and_again_fails_in_sight_and_can_be_resumed(
    ten: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any) -> int:
        raise RuntimeError

    replay = ask(ten, filter=ALL)
    work(ten)
    with monkeypatch.context() as patch:
        patch.setattr(making, "make", breaks)
        for _ in range(drain.TRIES):
            assert see(ten, replay)["state"] == "running"
            assert work(ten) == 0
            [due] = ten.rows("SELECT due_at > now() AS later FROM due WHERE kind = 'replay'") or [None]
            assert due is None or due.later
            run(ten, "UPDATE due SET due_at = now() WHERE kind = 'replay'")
    failed = see(ten, replay)
    assert (failed["state"], failed["error"]["code"]) == ("failed", "REPLAY_BROKEN")
    assert "RuntimeError" in failed["error"]["message"]
    assert act(ten, replay, "resume").json["error"] is None
    finish(ten)
    once_each(ten)


def test_what_is_claimed_again_and_again_without_an_outcome_fails_too(ten: Product) -> None:
    replay = ask(ten, filter=ALL)
    for _ in range(drain.TRIES):
        with ten.core.engine.connect() as conn:
            assert claims.claim(conn, drain.KIND, 1)
        run(ten, "UPDATE due SET due_at = now() WHERE kind = 'replay'")
    work(ten)
    assert (see(ten, replay)["state"], see(ten, replay)["error"]["code"]) == ("failed", "REPLAY_BROKEN")


def test_the_rate_cap_holds_and_the_next_are_due_when_they_are_paid_for(ten: Product) -> None:
    replay = ask(ten, filter=ALL, per_second=2)
    work(ten)
    work(ten)
    assert see(ten, replay)["done"] == 2, "the first second is given in advance"
    assert work(ten) == 0
    [due] = ten.rows("SELECT extract(epoch FROM due_at - now()) AS left FROM due WHERE kind = 'replay'")
    assert 0.5 < due.left <= 1.01
    done = 2
    while done < 10:
        run(ten, "UPDATE replays SET paid_until = paid_until - interval '1 second'")  # a second goes by
        run(ten, "UPDATE due SET due_at = now() WHERE kind = 'replay'")
        work(ten)
        done += 2
        assert see(ten, replay)["done"] <= done
    finish(ten)
    assert see(ten, replay)["done"] == 10
    once_each(ten)


def test_two_replays_at_once_make_each_delivery_once(ten: Product) -> None:
    first, second = ask(ten, filter=ALL), ask(ten, filter={"type": "order.*"})
    finish(ten)
    once_each(ten)
    done = [see(ten, each) for each in (first, second)]
    assert sum(each["done"] for each in done) == 10
    assert [each["done"] + each["skipped"] for each in done] == [each["total"] for each in done] == [10, 10]


def test_a_workspace_has_so_many_at_work_and_no_more(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.replays.usecases.MOST_AT_WORK", 2)
    product.webhook("hook", HOOK)
    one = ask(product, filter=ALL)
    ask(product, filter=ALL)
    assert ask(product, 409, filter=ALL)["code"] == "REPLAYS_FULL"
    act(product, one, "cancel")
    ask(product, filter=ALL)


def test_replays_are_listed_newest_first_by_pages_and_by_state(product: Product) -> None:
    product.webhook("hook", HOOK)
    ids = [ask(product, filter=ALL)["id"] for _ in range(3)]
    finish(product)
    client = product.client()
    page = client.get("/api/v1/replays?limit=2").json
    rest = client.get(f"/api/v1/replays?limit=2&cursor={page['next']}").json
    assert [each["id"] for each in page["items"] + rest["items"]] == ids[::-1]
    assert client.get("/api/v1/replays?state=running").json["items"] == []
    assert client.get("/api/v1/replays?state=nonsense").status_code == 422


def test_replays_that_ended_long_ago_are_forgotten_and_no_others(product: Product) -> None:
    product.webhook("hook", HOOK)
    old, new = ask(product, filter=ALL), ask(product, filter=ALL)
    finish(product)
    paused = ask(product, filter=ALL)
    act(product, paused, "pause")
    run(product, "UPDATE replays SET created_at = now() - interval '91 days'")
    run(
        product,
        "UPDATE replays SET finished_at = created_at WHERE finished_at IS NOT NULL AND id = :id",
        id=read("rpl", old["id"]),
    )
    assert drain.forget(product.core.engine, 90) == 1
    left = product.client().get("/api/v1/replays").json["items"]
    assert {each["id"] for each in left} == {new["id"], paused["id"]}


def test_fifty_thousand_are_replayed_to_the_last_one(product: Product) -> None:
    webhook = product.webhook("hook", HOOK)
    with product.core.engine.engine.begin() as conn:
        conn.execute(text(_MANY), {"workspace": product.scope.workspace_id, "webhook": webhook.id, "n": 50_000})
    counted = ask(product, 200, filter={"webhook": "hook", "status": ["delivered"]}, dry_run=True)
    assert counted["count"] == 50_000
    replay = ask(product, filter={"webhook": "hook", "status": ["delivered"]})
    finish(product)
    done = see(product, replay)
    assert (done["state"], done["total"], done["done"], done["skipped"]) == ("done", 50_000, 50_000, 0)
    [row] = product.rows(
        """SELECT count(*) AS n, count(DISTINCT replayed_from) AS origins, count(DISTINCT message_id) AS messages
           FROM deliveries WHERE replay_id IS NOT NULL AND state = 'pending'"""
    )
    assert (row.n, row.origins, row.messages) == (50_000,) * 3
    [due] = product.rows("SELECT count(*) AS n FROM due WHERE kind = 'delivery'")
    assert due.n == 50_000


_MANY = """
WITH made AS (
  INSERT INTO events (uid, workspace_id, id, source, type, time, recorded_at, data, correlation_id, principal)
  SELECT CAST(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - 60000 + n), 12, '0')
              || '7000' || '8000' || lpad(to_hex(n), 12, '0') AS uuid),
         :workspace, 'evt-' || n, 'api', 'order.created', now(), now(), '{}', 'cor', 'test'
  FROM generate_series(1, :n) AS s(n) RETURNING uid
)
INSERT INTO deliveries (id, workspace_id, webhook_id, event_uid, message_id, state, attempts, created_at, expires_at, finished_at)
SELECT uid, :workspace, :webhook, uid, 'msg', 'delivered', 1, now(), now() + interval '5 days', now() FROM made
"""
