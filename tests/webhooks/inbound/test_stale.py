"""An older version of a subject than the newest seen does not go on, however many workers race."""

from __future__ import annotations

import random
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.kernel.errors import Permanent
from server.kernel.ids import new_uuid
from server.webhooks.inbound import guard
from server.webhooks.inbound.guard import Asked, version_of
from tests.support.inbound import (
    EMIT,
    ORDER,
    change,
    declare,
    drained,
    emitted,
    letters,
    request,
    states,
    store,
    worker,
)

if TYPE_CHECKING:
    from uuid import UUID

    from server.webhooks.aggregate import Webhook
    from tests.support.product import Product

AT = "2026-01-01T10:00:0%d%s"


def guarded(product: Product, **more: Any) -> Webhook:
    return declare(product, **({"version": "body.v"} | more))


def sent(product: Product, hook: Webhook, *versions: Any) -> list[UUID]:
    return [store(product, hook, {**ORDER, "v": each})[0] for each in versions]


def ended(product: Product, ids: list[UUID]) -> list[str]:
    return [request(product, each).state for each in ids]


KINDS: list[tuple[str, list[Any], list[str]]] = [
    ("numbers", [9, 10, 2, 10.5, "11", 11, 10], ["emitted", "emitted", "stale", "emitted", "emitted", "emitted", "stale"]),
    ("times", [AT % (5, "Z"), AT % (6, "+02:00"), AT % (7, "Z"), AT % (7, ".000001Z")], ["emitted", "stale", "emitted", "emitted"]),
    ("texts", ["b", "a", "B", "c", "b"], ["emitted", "stale", "stale", "emitted", "stale"]),
]  # fmt: skip


@pytest.mark.parametrize(("versions", "expected"), [each[1:] for each in KINDS], ids=[each[0] for each in KINDS])
def test_what_is_older_is_stale_within_a_batch_and_after_it(
    product: Product, versions: list[Any], expected: list[str]
) -> None:
    together = sent(product, guarded(product), *versions)
    drained(product)
    assert ended(product, together) == expected
    other, singly = guarded(product, name="singly"), []
    for each in versions:
        singly += sent(product, other, each)
        drained(product)
    assert ended(product, singly) == expected
    assert len(emitted(product)) == 2 * expected.count("emitted")


def test_subjects_and_webhooks_do_not_mind_each_other(product: Product) -> None:
    one, two = guarded(product), guarded(product, name="two")
    ids = [
        *store(product, one, {**ORDER, "v": 5}, {**ORDER, "id": 7, "v": 1}),
        *store(product, two, {**ORDER, "v": 1}),
    ]
    drained(product)
    assert ended(product, ids) == ["emitted"] * 3


def test_another_kind_is_a_dead_letter_that_says_what_was_seen(product: Product) -> None:
    hook = guarded(product)
    ids = sent(product, hook, 5, "2026-01-01T00:00:00Z", "five", 6)
    drained(product)
    assert ended(product, ids) == ["emitted", "dead", "dead", "emitted"]
    codes = [(each.reason, each.error["code"], each.error["details"]["seen"]) for each in letters(product)]
    assert codes == [("mapping", "VERSION_KIND", "5")] * 2


@pytest.mark.parametrize("version", [None, True, [], {}, "", "x" * 300, Decimal("1e100"), "\x00"], ids=repr)
def test_what_is_no_version_is_refused(version: Any) -> None:
    with pytest.raises(Permanent, match="version") as refused:
        version_of(version)
    assert refused.value.code == "VERSION_UNUSABLE"


def test_a_request_without_a_version_or_subject_is_a_dead_letter(product: Product) -> None:
    hook = guarded(product, emit={**EMIT, "subject": "body.s"})
    ids = store(product, hook, {**ORDER, "s": "a"}, {**ORDER, "v": 1})
    drained(product)
    assert ended(product, ids) == ["dead", "dead"]
    assert {each.error["code"] for each in letters(product)} == {"VERSION_UNUSABLE", "EMIT_REFUSED"}


def test_of_several_events_only_those_of_stale_subjects_stop(product: Product) -> None:
    each = {"type": "order.created", "each": "body.lines", "subject": "item", "data": {"line": "item"}}
    hook = guarded(product, emit=each)
    store(product, hook, {"lines": ["A"], "v": 5})
    drained(product)
    [some, none] = store(product, hook, {"lines": ["A", "B"], "v": 3}, {"lines": ["A"], "v": 4})
    drained(product)
    assert (request(product, some).state, request(product, some).reason) == ("emitted", "stale-in-part")
    assert request(product, none).state == "stale"
    assert [event.subject for event in emitted(product)] == ["A", "B"]


def test_what_is_refused_has_not_been_seen(product: Product) -> None:
    hook = guarded(product, emit={**EMIT, "id": "body.key"})
    store(product, hook, {**ORDER, "key": "a", "v": 1})
    drained(product)
    [refused] = store(product, hook, {**ORDER, "total": "7", "key": "a", "v": 9})
    drained(product)
    [later] = store(product, hook, {**ORDER, "key": "b", "v": 5})
    drained(product)
    assert (request(product, refused).state, request(product, later).state) == ("dead", "emitted")


def test_a_replayed_request_goes_on_unless_a_newer_one_has_come_since(product: Product) -> None:
    hook = guarded(product)
    one, two = sent(product, hook, 1, 2)
    drained(product)
    change(product, "orders-in", emit={**EMIT, "type": "order.changed"})
    with product.tx() as tx:
        product.core.reopens["inbound"].reopen(tx, [one, two])
    drained(product)
    assert ended(product, [one, two]) == ["stale", "emitted"]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_however_transactions_interleave_what_goes_on_never_goes_back(product: Product, data: st.DataObject) -> None:
    """Workers decide over the same subjects in transactions of their own: the commits of each subject are in its order."""
    webhook, subjects = new_uuid(), ["a", "b", "c"]
    plans = data.draw(
        st.lists(st.lists(st.tuples(st.sampled_from(subjects), st.integers(0, 9)), max_size=4), max_size=4)
    )
    committed: list[tuple[str, int]] = []
    lock = threading.Lock()

    def work(plan: list[tuple[str, int]]) -> None:
        asked = [Asked(webhook, subject, version_of(number), new_uuid()) for subject, number in plan]
        with product.core.engine.begin(product.scope, product.cause) as tx:
            verdicts = guard.decide(tx, asked)
            with lock:  # the subjects are locked until commit: nobody else decides on them before it
                committed.extend(
                    (each.subject, int(each.version.text))
                    for each in asked
                    if verdicts[each.request_id, each.subject].goes
                )

    threads = [threading.Thread(target=work, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for subject in subjects:
        went = [number for each, number in committed if each == subject]
        given_ = [number for plan in plans for each, number in plan if each == subject]
        assert went == sorted(went), "what went on is never older than what went before it"
        assert not given_ or went[-1] == max(given_), "and the newest went"
    rows = product.rows("SELECT subject, version FROM inbound_versions WHERE webhook_id = :id", id=webhook)
    newest = {
        subject: max(n for plan in plans for each, n in plan if each == subject)
        for subject in {s for p in plans for s, _ in p}
    }
    assert {row.subject: int(row.version) for row in rows} == newest


def test_workers_that_race_over_one_subject_end_with_the_newest(product: Product) -> None:
    hook = guarded(product)
    versions = list(range(60))
    random.Random(4).shuffle(versions)
    sent(product, hook, *versions)
    one = [worker(product) for _ in range(3)]
    threads = [threading.Thread(target=each.drain) for each in one]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    drained(product)
    assert sum(states(product).values()) == 60
    assert set(states(product)) <= {"emitted", "stale"}
    assert product.rows("SELECT version FROM inbound_versions")[0].version == "59"
