"""A write under a key happens once: a race, a replay, another input, a day later, and whoever dies or dawdles in between."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from server.integrations.calls import Caller
from server.integrations.gates import Link
from server.integrations.guards import Call
from server.integrations.keys import SqlKeys, Times, forget
from server.integrations.plugins import discover
from server.integrations.policies import PRESETS
from server.kernel.clock import SystemClock
from server.kernel.errors import CrossdockError, Permanent, Postponed, Retryable, Unavailable
from server.sdk import Adapter, CallRequest, Health, Operation
from server.store import Store
from server.transport.addresses import AddressPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.product import Product

INTEGRATION = UUID(int=7)
OUTPUT = {"z": 1, "a": [0.1, 1e300, -7, "ü\u2028", None, {"deep": {"er": True}}], "big": 2**62}


class Counting(Adapter):
    """Writes what `work` says, and counts how often."""

    id = "counting"
    version = "1.0.0"
    operations = (
        Operation(
            name="thing.write",
            about="Write.",
            writes=True,
            input_schema={"type": "object"},
            output_schema={"type": "object"},
        ),
    )

    def __init__(self, work: Callable[[Any], dict[str, Any]]) -> None:
        self.work, self.keys, self.lock = work, [], threading.Lock()

    def execute(self, request: CallRequest, context: Any) -> Any:
        with self.lock:
            self.keys.append(context.idempotency_key)
        return self.work(request.input)

    def health_check(self, context: Any) -> Any:
        return Health(status="healthy", latency_ms=0.0, last_checked=context.clock.now())


class System:
    """One process's way to a system that does `work`; `times` are those of the keys."""

    def __init__(self, product: Product, work: Callable[[Any], Any] = lambda _: OUTPUT, **times: float) -> None:
        self.adapter = Counting(work)
        self.product, self.times = product, Times(**times)
        self.keys = SqlKeys(product.core.engine, self.times)
        self.caller = Caller(clock=SystemClock(), keys=self.keys)
        self.plugin = replace(discover()["http"], name="counting", adapter_factory=lambda: self.adapter)

    def call(self, key: str = "run:step:1", **more: Any) -> dict[str, Any]:
        return self.caller.call(self.made(key, **more))

    def made(self, key: str, **more: Any) -> Call:
        fields: dict[str, Any] = {
            "organization": "default",
            "workspace": "default",
            "integration": "it",
            "plugin": self.plugin,
            "operation": "thing.write",
            "input": {"n": 1},
            "config": {},
            "addresses": AddressPolicy(),
            "correlation_id": "cor_1",
            "link": Link(self.product.scope.workspace_id, INTEGRATION, PRESETS["default"]),
            "idempotency_key": key,
        }
        return Call(**(fields | more))

    @property
    def done(self) -> int:
        return len(self.adapter.keys)


def fail(error: BaseException) -> Callable[[Any], Any]:
    def work(_: Any) -> Any:
        raise error

    return work


@contextmanager
def behind(system: System, release: threading.Event) -> Iterator[Any]:
    """Let a call hang in the background until the block releases it, at the latest at its end."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(system.call)
        while not system.done:
            time.sleep(0.01)
        try:
            yield future
        finally:
            release.set()


def pass_time(product: Product, seconds: float) -> None:
    with product.core.engine.engine.begin() as conn:
        conn.execute(
            text(
                f"""UPDATE call_results SET started_at = started_at - interval '{seconds} s',
                lease_until = lease_until - interval '{seconds} s', finished_at = finished_at - interval '{seconds} s',
                expires_at = expires_at - interval '{seconds} s'"""
            )
        )


def test_the_times_are_those_that_were_promised() -> None:
    assert Times() == Times(lease=6, most=300, kept=86_400, wait=2)


def test_of_fifty_that_race_one_executes_and_all_have_its_result(product: Product) -> None:
    def slowly(_: Any) -> Any:
        time.sleep(0.3)
        return OUTPUT

    systems = [System(product, slowly) for _ in range(5)]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda n: systems[n % 5].call(), range(50)))
    assert sum(each.done for each in systems) == 1
    assert {json.dumps(each) for each in answers} == {json.dumps(OUTPUT)}, "byte for byte"


def test_who_waited_two_seconds_is_told_that_the_call_is_in_progress(product: Product) -> None:
    release = threading.Event()
    first, second = System(product, lambda _: release.wait(10) and OUTPUT), System(product)
    with behind(first, release) as future:
        began = time.monotonic()
        with pytest.raises(Postponed) as busy:
            second.call()
        assert 1.5 < time.monotonic() - began < 3
        assert busy.value.code == "CALL_IN_PROGRESS"
        assert 1.0 <= busy.value.after <= 5.0
        began = time.monotonic()
        with pytest.raises(Postponed):
            second.call(patience=0.0)
        assert time.monotonic() - began < 1, "a step need not wait: it is due again"
        release.set()
        assert future.result(5) == OUTPUT
    assert second.call() == OUTPUT
    assert second.done == 0


def test_the_same_key_again_gives_the_same_bytes_and_executes_nothing(product: Product) -> None:
    first, second = System(product), System(product)
    answers = [each.call() for each in (first, second, first)]
    assert [json.dumps(each) for each in answers] == [json.dumps(OUTPUT)] * 3
    assert (first.adapter.keys, second.done) == (["run:step:1"], 0)


def test_a_permanent_failure_is_kept_as_it_was(product: Product) -> None:
    system = System(product, fail(Permanent("no such order", code="ORDER_UNKNOWN", order="SO-1")))
    failures = []
    for _ in range(2):
        with pytest.raises(Permanent) as refused:
            system.call()
        failures.append(refused.value.failure)
    assert failures[0] == failures[1]
    assert failures[0].details == {"order": "SO-1"}
    assert system.done == 1


@pytest.mark.parametrize("error", [Retryable("busy"), Postponed("later"), OSError("reset")])
def test_what_may_pass_frees_the_key_at_once(product: Product, error: BaseException) -> None:
    system = System(product, fail(error))
    for _ in range(2):
        with pytest.raises(CrossdockError):
            system.call()
    system.adapter.work = lambda _: OUTPUT
    assert system.call() == OUTPUT
    assert system.adapter.keys == ["run:step:1"] * 3, "the key is stable over retries"


@pytest.mark.parametrize("more", [{"input": {"n": 2}}, {"input": {}}])
@pytest.mark.parametrize("first", [lambda _: OUTPUT, fail(Retryable("busy"))])
def test_the_same_key_with_another_input_is_refused(product: Product, more: Any, first: Any) -> None:
    system = System(product, first)
    with suppress(Retryable):
        system.call()
    with pytest.raises(Permanent) as refused:
        system.call(**more)
    assert refused.value.code == "CALL_KEY_REUSED"
    assert system.done == 1


def test_a_key_is_of_one_integration_in_one_workspace(product: Product) -> None:
    system = System(product)
    other = product.workspace("other", "default")
    system.call()
    system.call(link=Link(other.workspace_id, INTEGRATION, PRESETS["default"]), input={"n": 2})
    system.call(link=Link(product.scope.workspace_id, uuid4(), PRESETS["default"]), input={"n": 3})
    assert system.done == 3
    with product.tx(other) as tx:
        assert len(tx.all("SELECT key FROM call_results")) == 1, "the API's role sees its own workspace only"


def test_after_a_day_it_is_a_new_call_and_the_chore_forgets_it(product: Product) -> None:
    system = System(product)
    system.call()
    pass_time(product, 86_400 - 60)
    system.call(), system.call(key="other")
    assert system.done == 2
    pass_time(product, 120)
    system.call(input={"n": 2})
    assert system.done == 3, "executed anew, and the key is free for another input"
    pass_time(product, 86_400 + 1)
    with product.core.engine.connect() as conn:
        assert forget(conn) == 2
    assert product.rows("SELECT 1 FROM call_results") == []


def test_who_died_in_between_blocks_the_key_for_its_lease_only(product: Product) -> None:
    dead, system = System(product, lease=0.4, wait=0.0), System(product, lease=0.4, wait=0.0)
    dead.keys._renewal.start = lambda: None  # a dead process renews nothing
    assert dead.keys.claim(dead.made("run:step:1")).hold is not None
    with pytest.raises(Postponed):
        system.call()
    time.sleep(0.45)
    assert system.call() == OUTPUT
    [row] = product.rows("SELECT epoch FROM call_results")
    assert row.epoch == 2


def test_who_lives_keeps_the_key_beyond_its_lease_but_not_for_ever(product: Product) -> None:
    alive, other = System(product, lease=0.3, most=1.2), System(product, lambda _: {"from": "the other"}, wait=0.0)
    hold = alive.keys.claim(alive.made("run:step:1", timeout=0.1)).hold
    assert hold is not None
    time.sleep(0.8)
    with pytest.raises(Postponed):
        other.call()
    time.sleep(0.6)
    assert other.call() == {"from": "the other"}, "five minutes are over"
    late = alive.keys.keep(hold, {"from": "the first"})
    assert late == {"from": "the other"}, "a late result counts nothing, not even for its owner"
    assert other.call() == {"from": "the other"}


def test_a_key_is_kept_for_as_long_as_its_call_may_take(product: Product) -> None:
    release = threading.Event()
    slow = System(product, lambda _: release.wait(10) and {"from": "the first"}, lease=0.3, most=0.4)
    other = System(product, lambda _: {"from": "the other"}, wait=0.0)
    with behind(slow, release) as future:
        time.sleep(1.0)
        with pytest.raises(Postponed):
            other.call()
        release.set()
        assert future.result(5) == {"from": "the first"}
    assert (other.call(), other.done) == ({"from": "the first"}, 0)


def test_a_late_failure_and_a_late_end_change_nothing_either(product: Product) -> None:
    late, other = System(product, lease=0.05), System(product, lambda _: {"from": "the other"})
    late.keys._renewal.start = lambda: None
    holds = []
    for _ in range(2):
        holds.append(late.keys.claim(late.made("run:step:1")).hold)
        time.sleep(0.1)
    other.call()
    late.keys.fail(holds[0], Permanent("late"))
    late.keys.free(holds[1])
    assert other.call() == {"from": "the other"}
    assert other.done == 1


def test_a_credential_that_is_echoed_is_not_kept(product: Product) -> None:
    system = System(product, lambda _: {"echo": "Bearer hush-hush-hush"})
    answers = [system.call(secrets=("hush-hush-hush",)) for _ in range(2)]
    assert answers[0] == answers[1] == {"echo": "Bearer [hidden]"} or "hush" not in json.dumps(answers)
    assert "hush" not in str(product.rows("SELECT result::text FROM call_results"))


def test_without_the_database_nothing_is_called(product: Product) -> None:
    system = System(product)
    away = Store("postgresql+psycopg://127.0.0.1:1/none", "crossdock_engine")
    system.keys.store = away
    with pytest.raises(Unavailable):
        system.call()
    assert system.done == 0


def test_a_result_is_given_although_the_database_went_away_meanwhile(product: Product) -> None:
    system = System(product)

    def leave(_: Any) -> Any:
        system.keys.store = Store("postgresql+psycopg://127.0.0.1:1/none", "crossdock_engine")
        return OUTPUT

    system.adapter.work = leave
    assert system.call() == OUTPUT
