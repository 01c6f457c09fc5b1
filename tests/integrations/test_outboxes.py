"""Events of a system's own outbox: fetched after each call, stored once, whoever dies, and one that is refused holds up no other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from server import bootstrap
from server.integrations import outboxes
from server.integrations.aggregate import Integration
from server.integrations.nudges import Nudges
from server.integrations.outboxes import Outboxes, nudge_at_once
from server.integrations.repository import INTEGRATIONS
from server.integrations.usecases import ByHand
from server.kernel.errors import Retryable, Unavailable
from server.kernel.ids import new_uuid, show
from server.store import Cause
from tests.support.product import Product

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from server.store import Scope

ANNA = Cause("user:anna", "cor_1")


class Fetching:
    """An embedded ERP, calls to it, and the drain of its outbox."""

    def __init__(self, product: Product) -> None:
        self.product = product
        core = product.core
        self.nudges = Nudges()
        self.caller = bootstrap.caller_of(core, self.nudges)
        making = bootstrap.making_of(core)
        self.outboxes = Outboxes(core.engine, core.publisher, making, self.caller, self.nudges, self.because)
        self.hand = ByHand(core.engine, core.secrets, core.plugins, self.caller, core.networks.policy)
        self.asked: list[str] = []
        url = make_url(product.settings.database_url).set(drivername="postgresql")
        self.plain = url.render_as_string(hide_password=False)

    def because(self, _conn: Any, _workspace: int, keys: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        self.asked += keys
        return {"step-1": {"causation_id": "run_1", "extensions": {"crossdockpath": "flow/f"}}}

    def add(self, scope: Scope | None = None, name: str = "erp", policy: Any = None, **config: str) -> None:
        integration = Integration(new_uuid())
        body = {"name": name, "plugin": "erp_sandbox", "config": config, **({"policy": policy} if policy else {})}
        integration.create(name, body, 1, {})
        integration.activate()
        with self.product.core.engine.begin(scope or self.product.scope, ANNA) as tx:
            INTEGRATIONS.add(tx, integration)

    def upsert(self, identity: str, key: str | None = None, scope: Scope | None = None, name: str = "erp") -> None:
        given = {"external_id": identity, "name": "ACME"}
        self.hand.call(scope or self.product.scope, ANNA, name, "customers.upsert", given, key=key)

    def drain(self) -> None:
        self.outboxes.notice()
        self.outboxes.drain()
        until = time.monotonic() + 10
        while self.outboxes.holding.room < outboxes.AT_ONCE and time.monotonic() < until:
            time.sleep(0.01)

    def events(self) -> list[Any]:
        return list(
            self.product.rows("SELECT * FROM events WHERE source = 'integration/erp' ORDER BY recorded_at, subject")
        )

    def sources(self) -> list[str]:
        rows = self.product.rows("SELECT source FROM events WHERE source LIKE 'integration/%%' ORDER BY source")
        return [row.source.removeprefix("integration/") for row in rows]

    def due(self) -> Any:
        [row] = self.product.rows("SELECT * FROM due WHERE kind = 'outbox'")
        return row

    def due_now(self) -> None:
        with self.product.core.engine.connect() as conn:
            conn.exec_driver_sql("UPDATE due SET due_at = now() - interval '1 second' WHERE kind = 'outbox'")

    def waiting(self) -> int:
        with psycopg.connect(self.plain) as connection:
            return len(connection.execute("SELECT 1 FROM plugin_erp_sandbox.outbox").fetchall())


@pytest.fixture
def erp(database_url: str) -> Iterator[Fetching]:
    product = Product(database_url)
    fetching = Fetching(product)
    fetching.add()
    yield fetching
    with psycopg.connect(fetching.plain, autocommit=True) as connection:  # one database serves all tests of this room
        connection.execute("DROP SCHEMA IF EXISTS plugin_erp_sandbox CASCADE")
    fetching.caller.close()
    product.close()


def test_a_call_s_event_is_stored_with_its_correlation_and_what_it_followed_from(erp: Fetching) -> None:
    erp.upsert("C-1", key="step-1")
    erp.drain()
    [event] = erp.events()
    assert (event.type, event.correlation_id, event.causation_id) == ("customer.created", "cor_1", "run_1")
    assert (event.extensions, erp.asked, erp.waiting()) == ({"crossdockpath": "flow/f"}, ["step-1"], 0)
    [due] = erp.product.rows("SELECT due_at > now() AS later, leased, claims FROM due WHERE kind = 'outbox'")
    assert (due.later, due.leased, due.claims) == (True, False, 0)


def test_pieces_of_work_that_only_read_are_no_reason_to_look_into_an_outbox(erp: Fetching) -> None:
    making = bootstrap.making_of(erp.product.core)
    noted = []
    for operation in ("customers.search", "customers.upsert"):
        with erp.product.core.engine.begin(erp.product.scope, ANNA) as tx:
            call = making.named(tx, "erp", operation, {})
        erp.caller.piece(call, lambda _adapter, _context: None)
        noted.append(len(erp.nudges.take()))
    assert noted == [0, 1]


def test_what_was_fetched_and_not_forgotten_is_stored_once(erp: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    erp.upsert("C-1")
    with monkeypatch.context() as patched:
        patched.setattr(outboxes, "_taken", _dies)
        erp.drain()
    assert (len(erp.events()), erp.waiting()) == (1, 1)
    erp.upsert("C-2")
    erp.due_now()
    erp.drain()
    assert (len(erp.events()), erp.waiting()) == (2, 0)


def test_a_refused_event_is_a_dead_letter_that_can_be_replayed_and_the_others_go_on(erp: Fetching) -> None:
    schema = {"type": "object", "properties": {"external_id": {"const": "C-2"}}}
    client = erp.product.client()
    made = client.post("/api/v1/event-types", json={"name": "customer.created", "schema": schema})
    assert made.status_code == 201, made.json
    erp.upsert("C-1")
    erp.upsert("C-2")
    erp.drain()
    assert (len(erp.events()), erp.waiting()) == (1, 0)
    [letter] = erp.product.rows("SELECT * FROM dead_letters")
    assert (letter.kind, letter.owner, letter.reason) == ("outbox", "integration/erp", "schema")
    assert letter.error["details"]["event"]["data"]["external_id"] == "C-1"
    retry = f"/api/v1/dead-letters/{show('dead', letter.id)}/retry"
    assert client.post(retry).status_code == 422, "it is refused as before"
    looser = client.put(
        "/api/v1/event-types/customer.created@1",
        json={
            "name": "customer.created",
            "version": 1,
            "schema": {"type": "object", "properties": {"external_id": {}}},
        },
        headers={"If-Match": '"1"'},
    )
    assert looser.status_code == 200, looser.json
    assert client.post(retry).status_code in (200, 202)
    assert len(erp.events()) == 2


def test_a_refused_event_that_is_fetched_again_is_no_second_dead_letter(
    erp: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = {"type": "object", "properties": {"external_id": {"const": "C-2"}}}
    made = erp.product.client().post("/api/v1/event-types", json={"name": "customer.created", "schema": schema})
    assert made.status_code == 201, made.json
    erp.upsert("C-1")
    with monkeypatch.context() as patched:
        patched.setattr(outboxes, "_taken", _dies)
        erp.drain()
    erp.due_now()
    erp.drain()
    assert (len(erp.product.rows("SELECT 1 FROM dead_letters")), erp.waiting()) == (1, 0)


def test_what_no_event_can_hold_is_a_dead_letter_and_holds_up_no_other(erp: Fetching) -> None:
    wrong = (
        ("data", '{"a": "\\ud800"}'),
        ("data", '{"a": 123456789012345678901234567890}'),
        ("type", "crossdock.flow.created"),
        ("type", "no type"),
        ("subject", "a\nb"),
        ("id", ""),
        ("id", ""),
    )
    with psycopg.connect(erp.plain) as connection:
        for position, (column, value) in enumerate(wrong, 1):
            erp.upsert(f"C-{position}")
            changed = f"UPDATE plugin_erp_sandbox.outbox SET {column} = %s WHERE position = %s"
            connection.execute(changed, (value, position))
    erp.upsert("C-0")
    erp.drain()
    assert ([each.type for each in erp.events()], erp.waiting()) == (["customer.created"], 0)
    letters = erp.product.rows("SELECT * FROM dead_letters")
    assert {(each.kind, each.reason, each.error["code"]) for each in letters} == {("outbox", "refused", "OUTBOX_EVENT")}
    assert len(letters) == len(wrong)
    retries = [f"/api/v1/dead-letters/{show('dead', each.id)}/retry" for each in letters]
    answers = sorted(erp.product.client().post(each).status_code for each in retries)
    assert answers == [202, 422, 422, 422, 422, 422, 422], (
        "a subject can be read, what is wrong with the others stays wrong"
    )


def test_a_dead_letter_keeps_the_numbers_and_signs_of_its_event(erp: Fetching) -> None:
    client = erp.product.client()
    schema = {"type": "object", "properties": {"a": {"const": 1}}}
    made = client.post("/api/v1/event-types", json={"name": "customer.created", "schema": schema})
    assert made.status_code == 201, made.json
    for name in ("C-1", "C-2"):
        erp.upsert(name)
    with psycopg.connect(erp.plain) as connection:
        for position, data in ((1, '{"a": 0.1}'), (2, '{"a": "x\\u0000y"}')):
            connection.execute("UPDATE plugin_erp_sandbox.outbox SET data = %s WHERE position = %s", (data, position))
    erp.drain()
    assert (len(erp.events()), erp.waiting()) == (0, 0)
    any_ = {"name": "customer.created", "version": 1, "schema": {"type": "object", "properties": {"a": {}}}}
    changed = client.put("/api/v1/event-types/customer.created@1", json=any_, headers={"If-Match": '"1"'})
    assert changed.status_code == 200, changed.json
    for letter in erp.product.rows("SELECT * FROM dead_letters"):
        assert client.post(f"/api/v1/dead-letters/{show('dead', letter.id)}/retry").status_code in (200, 202)
    with erp.product.core.engine.connect() as conn:
        kept = conn.exec_driver_sql("SELECT data::text FROM events WHERE source = 'integration/erp'").scalars()
        assert set(kept) == {'{"a":0.1}', '{"a":"x\\u0000y"}'}


def test_of_two_integrations_of_one_company_the_first_fetches_and_the_second_when_that_rests(erp: Fetching) -> None:
    erp.add(name="again")
    erp.add(name="apart", company="second")
    erp.upsert("C-1")
    erp.upsert("C-2", name="again")
    erp.upsert("C-3", name="apart")
    erp.drain()
    erp.drain()
    assert erp.sources() == ["apart", "erp", "erp"]
    erp.upsert("C-4", name="again")
    with erp.product.core.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE integrations SET state = 'paused' WHERE name = 'erp'")
    erp.due_now()
    erp.drain()
    erp.drain()
    assert erp.sources() == ["again", "apart", "erp", "erp"]


def test_an_integration_that_is_gone_is_forgotten(erp: Fetching) -> None:
    erp.nudges.again({new_uuid()})
    erp.drain()
    assert erp.nudges.take() == {}


def test_workspaces_keep_to_themselves(erp: Fetching) -> None:
    rival = erp.product.workspace("rival", "main")
    erp.add(rival)
    erp.upsert("C-1", scope=rival)
    erp.upsert("C-2")
    erp.drain()
    owners = {row.workspace_id: row.subject for row in erp.events()}
    assert len(owners) == len(set(owners.values())) == 2


def _dies(*_: Any) -> None:
    raise Unavailable("the worker dies here", source="test")


def test_a_call_of_this_process_is_heard_of_in_it_and_a_look_at_it_makes_it_due(erp: Fetching) -> None:
    heard: list[bool] = []
    erp.nudges.noted = lambda: heard.append(bool(erp.nudges))
    erp.upsert("C-1")
    assert heard == [True]
    assert (erp.outboxes.notice(), bool(erp.nudges)) == (1, False)
    assert erp.outboxes.notice() == 0


def test_an_outbox_whose_system_asks_for_a_pause_gets_it_whatever_is_called_meanwhile(
    erp: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def limited(*_: Any) -> Any:
        looks.append(time.monotonic())
        if len(looks) < 5:
            erp.upsert(f"M-{len(looks)}")  # called while it is looked into
        raise Retryable("answered 429", source="erp", after=4)

    erp.upsert("C-1")
    with monkeypatch.context() as patched:
        patched.setattr(outboxes, "_waiting", limited)
        erp.drain()
    rests = erp.due().due_at
    erp.upsert("C-2")
    with erp.product.core.engine.begin(erp.product.scope, ANNA) as tx:
        call = bootstrap.making_of(erp.product.core).named(tx, "erp", "customers.upsert", {})
    nudge_at_once(erp.product.core.engine, lambda: None, call)
    assert (len(looks), erp.outboxes.notice(), erp.due().due_at) == (1, 0, rests)
    erp.due_now()
    erp.drain()
    assert (len(erp.events()), erp.waiting()) == (3, 0), "when the pause is over"
    erp.upsert("C-3")
    erp.drain()
    assert (len(erp.events()), erp.waiting()) == (4, 0), "it is well again, so it is looked into at once"


def test_a_worker_that_died_in_a_look_says_nothing_of_the_outbox(erp: Fetching) -> None:
    erp.upsert("C-1")
    erp.outboxes.notice()
    with erp.product.core.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE due SET leased = true, claims = 1, due_at = now() - interval '1 second'")
    erp.drain()
    erp.upsert("C-2")
    erp.drain()
    assert (len(erp.events()), erp.waiting()) == (2, 0)


def test_an_outbox_that_cannot_be_read_rests_longer_each_time(erp: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    rests = []
    erp.upsert("C-1")
    with monkeypatch.context() as patched:
        patched.setattr(outboxes, "_waiting", _away)
        for _ in range(5):
            erp.drain()
            [due] = erp.product.rows(
                "SELECT extract(epoch FROM due_at - now())::float AS rests FROM due WHERE kind = 'outbox'"
            )
            rests.append(due.rests)
            erp.due_now()
    assert rests == [pytest.approx(each, abs=3) for each in (5, 10, 20, 30, 30)]


def _away(*_: Any) -> None:
    raise Retryable("answered 503", source="erp")


def test_an_outbox_that_another_worker_looks_into_is_asked_for_now_and_then(erp: Fetching) -> None:
    erp.upsert("C-1")
    erp.outboxes.notice()
    with erp.product.core.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE due SET leased = true, due_at = now() + interval '1 minute'")
    until, asked = time.monotonic() + 2.2, 0
    while time.monotonic() < until:
        erp.nudges.again({erp.due().ref})  # called all the time
        if erp.nudges:
            assert erp.outboxes.notice() == 0
            asked += 1
        time.sleep(0.01)
    assert 2 <= asked <= 7, "soon again, for it may end soon, then once a second"
    with erp.product.core.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE due SET leased = false")
    until = time.monotonic() + 5
    while not erp.nudges and time.monotonic() < until:
        time.sleep(0.01)
    erp.drain()
    assert (len(erp.events()), erp.waiting()) == (1, 0), "nothing was forgotten"


def test_what_was_called_while_we_looked_is_asked_for_when_we_have(erp: Fetching) -> None:
    erp.upsert("C-1")
    erp.drain()
    identity = erp.due().ref
    heard: list[bool] = []
    erp.nudges.noted = lambda: heard.append(bool(erp.nudges))
    erp.nudges.later({identity: 1.0})
    assert not erp.nudges
    erp.nudges.ended(identity)
    assert heard == [True]
    erp.nudges.later({identity: 1.0})
    assert erp.nudges.taken(identity), "by the look that is under way"
    assert not erp.nudges.taken(identity)


def test_a_look_is_over_soon_however_long_a_call_of_the_integration_may_take(
    erp: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    erp.add(name="slow", policy={"timeout": "10m"}, company="second")
    erp.upsert("C-1", name="slow")
    with psycopg.connect(erp.plain) as connection, monkeypatch.context() as patched:
        patched.setattr(outboxes, "LONGEST_QUESTION", 0.2)
        connection.execute("LOCK TABLE plugin_erp_sandbox.outbox IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        erp.drain()
        assert time.monotonic() - began < 8
    erp.due_now()
    erp.drain()
    assert erp.sources() == ["slow"]
