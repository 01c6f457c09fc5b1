"""The live tail over the real server: who listens gets each event once, whatever breaks off, and costs nobody else anything."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from server.access import tokens
from server.access.authentication import local_admin
from server.events.envelope import NewEvent
from server.kernel.ids import read
from server.runtime.ports import free_port
from server.web.guard import HEADERS
from tests.support.databases import empty
from tests.support.product import Product, until
from tests.support.streams import OF_WORKSPACE, Tail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server.store import Scope

_NUMBERS = itertools.count(1)


class Server:
    """A real API process, and the same instance in this process. Each test has a workspace of its own: `scope`."""

    def __init__(self, product: Product, folder: Path) -> None:
        self.product = product
        self.scope = product.scope
        self.port = free_port()
        command = [sys.executable, "-m", "tests.support.streams", str(folder), str(self.port)]
        settings = {"DATABASE_URL": product.settings.database_url, "CROSSDOCK_KEYS": product.settings.keys}
        self.process = subprocess.Popen(command, env={**os.environ, **settings})
        until(self._answers, 60, "the server")

    def _answers(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/health/live", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def tx(self, scope: Scope | None = None) -> Any:
        return self.product.tx(scope or self.scope)

    def token(self, scope: Scope | None = None, role: Any = "viewer", lifetime: float | None = None) -> str:
        with self.tx(scope) as tx:
            by = local_admin(self.product.core.engine, str(scope or self.scope))
            return tokens.create(tx, by, name=f"t{time.time_ns()}", role=role, lifetime=lifetime)[1]

    def listen(self, token: str, last: str | None = None, **query: str) -> Tail:
        return Tail(self.port, token, last, **query)

    def publish(self, *ids: str, type_: str = "order.created", scope: Scope | None = None, **more: Any) -> None:
        with self.tx(scope) as tx:
            news = [NewEvent(type=type_, id=each, **{"data": "{}", **more}) for each in ids]
            self.product.core.publisher.publish(tx, news)


@pytest.fixture(scope="module")
def running(reused_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    product = Product(reused_database)
    server = Server(product, tmp_path_factory.mktemp("streams"))
    yield server
    server.process.kill()
    server.process.wait()
    product.close()
    empty(reused_database)


@pytest.fixture
def server(running: Server) -> Server:
    running.scope = running.product.workspace("acme", f"w{next(_NUMBERS)}")
    return running


@pytest.fixture
def other(running: Server) -> Scope:
    """Another workspace."""
    return running.product.workspace("else", f"w{next(_NUMBERS)}")


def test_a_reader_who_asks_gets_older_events_as_the_newest_version_has_them(server: Server) -> None:
    client = server.product.client(server.scope)
    for version, more in ((1, {}), (2, {"upcast": {"amount": "data.total"}})):
        body = {"name": "order.paid", "version": version, "schema": {"type": "object"}, **more}
        assert client.post("/api/v1/event-types", json=body).status_code == 201
    since = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    server.publish("a", type_="order.paid", data='{"total": 5}', schema_version=1)
    token = server.token()
    with server.listen(token, since=since, upcast="true") as tail, server.listen(token, since=since) as plain:
        server.publish("b", type_="order.paid", data='{"total": 6}', schema_version=1)
        until(lambda: (tail.ids, plain.ids) == (["a", "b"], ["a", "b"]), 5)
    assert [(event["schema_version"], event["data"]) for _, event in tail.told] == [
        (2, {"amount": 5}),
        (2, {"amount": 6}),
    ]
    assert [(event["schema_version"], event["data"]) for _, event in plain.told] == [
        (1, {"total": 5}),
        (1, {"total": 6}),
    ]
    page = client.get("/api/v1/stream", query_string={"since": since, "upcast": "true"}).get_data(as_text=True)
    assert page.count('"amount"') == 2


def test_events_come_as_they_are_stored_and_a_reader_goes_on_after_the_last(server: Server) -> None:
    token = server.token()
    server.publish("before")
    with server.listen(token) as tail:
        started = time.monotonic()
        server.publish("a")
        until(lambda: tail.ids == ["a"], 5)
        assert time.monotonic() - started < 1.0
        server.publish("b", "c")
        until(lambda: tail.ids == ["a", "b", "c"], 5)
        assert tail.told[0][1]["type"] == "order.created"
    server.publish("d")
    with server.listen(token, tail.told[1][0]) as again:
        server.publish("e")
        until(lambda: again.ids == ["c", "d", "e"], 5)
    with server.listen(token, since=(datetime.now(UTC) - timedelta(hours=1)).isoformat()) as whole:
        until(lambda: whole.ids == ["before", "a", "b", "c", "d", "e"], 5)


def test_a_heartbeat_moves_the_place_to_go_on_from(server: Server) -> None:
    with server.listen(server.token(), types="invoice.*") as tail:
        first = tail.last
        server.publish("a")
        until(lambda: tail.last != first, 5)
        assert tail.ids == []


WANTS: list[tuple[dict[str, str], list[str]]] = [
    ({}, ["1", "2", "3"]),
    ({"types": "order.*"}, ["1"]),
    ({"types": "order.**"}, ["1", "2"]),
    ({"types": "invoice.paid,order.created"}, ["1", "3"]),
    ({"types": "**,crossdock.*.*"}, ["1", "2", "3", "4"]),
    ({"subject": "SO-1"}, ["2"]),
]


def test_who_listens_says_what_they_want(server: Server) -> None:
    token = server.token()
    with ExitStack() as open_:
        tails = [open_.enter_context(server.listen(token, **query)) for query, _ in WANTS]
        server.publish("1")
        server.publish("2", type_="order.line.added", subject="SO-1")
        server.publish("3", type_="invoice.paid")
        server.publish("4", type_="crossdock.webhook.paused")
        until(lambda: len(tails[4].ids) == 4, 5)
        time.sleep(0.2)
        assert [tail.ids for tail in tails] == [expected for _, expected in WANTS]


def test_a_slow_transaction_is_neither_lost_nor_waited_for(server: Server) -> None:
    token = server.token()
    with server.listen(token) as tail, ExitStack() as slow:
        tx = slow.enter_context(server.tx())
        server.product.core.publisher.publish(tx, [NewEvent(type="order.created", data="{}", id="slow")])
        server.publish("quick")
        until(lambda: tail.ids == ["quick"], 5)
        with server.listen(token, tail.last) as resumed:
            slow.close()
            until(lambda: tail.ids == ["quick", "slow"], 5)
            until(lambda: resumed.ids == ["slow"], 5)


def test_workspaces_do_not_hear_each_other(server: Server, other: Scope) -> None:
    with server.listen(server.token()) as ours, server.listen(server.token(other), types="**") as theirs:
        server.publish("ours")
        server.publish("theirs", scope=other)
        until(lambda: ours.ids and theirs.ids, 5)
        assert (ours.ids, theirs.ids) == (["ours"], ["theirs"])
        with server.listen(server.token(other), ours.told[0][0]) as resumed:  # an id of ours tells them nothing of ours
            until(lambda: resumed.ids, 5)
            assert resumed.ids == ["theirs"]


def test_a_revoked_token_hears_no_more(server: Server) -> None:
    token, short = server.token(), server.token(lifetime=2.0)
    with server.listen(token) as tail, server.listen(short) as brief:
        with server.tx() as tx:
            tx.run("UPDATE tokens SET revoked_at = now() WHERE hash = :hash", hash=tokens.digest(token))
        for one in (tail, brief):
            until(one.closed.is_set, 10)
            assert one.end is not None
            assert one.end["code"] == "UNAUTHENTICATED"
    headers = {"Authorization": f"Bearer {server.token()}"}
    figures = requests.get(f"http://127.0.0.1:{server.port}/metrics", headers=headers, timeout=5).text
    assert f'reason="UNAUTHENTICATED",workspace="{server.scope}"}} 2.0' in figures


REFUSED: list[tuple[str | None, dict[str, str], str | None, int, str]] = [
    (None, {}, None, 401, "UNAUTHENTICATED"),
    ("", {"types": "order..created"}, None, 422, "PATTERN_INVALID"),
    ("", {"types": ",".join(["a.b"] * 21)}, None, 422, "PATTERN_INVALID"),
    ("", {"limit": "3"}, None, 422, "INVALID"),
    ("", {"since": "yesterday"}, None, 422, "INVALID"),
    ("", {}, "7-", 422, "POSITION_INVALID"),
    ("", {}, "900000000000", 409, "POSITION_LOST"),
]


def test_what_cannot_be_is_refused_before_a_stream_begins(server: Server) -> None:
    token = server.token()
    for given, query, last, status, code in REFUSED:
        with server.listen("wrong" if given is None else token, last, **query) as tail:
            assert (tail.status, tail.problem["code"]) == (status, code), query


@pytest.mark.parametrize(
    ("query", "last", "status"), [({"since": "x"}, "", 422), ({}, "nonsense", 422), ({"types": "a.b"}, "", 200)]
)
def test_every_answer_has_its_id_and_what_browsers_are_told(
    server: Server, query: dict[str, str], last: str, status: int
) -> None:
    headers = {"Authorization": f"Bearer {server.token()}", "X-Correlation-ID": "given-1", "Last-Event-ID": last}
    url = f"http://127.0.0.1:{server.port}/api/v1/stream"
    with requests.get(url, query, headers=headers, stream=True, timeout=5) as answer:
        assert (answer.status_code, {name: answer.headers[name] for name in HEADERS}) == (status, HEADERS)
        assert answer.headers["X-Correlation-ID"] == "given-1"
        id_ = answer.headers["X-Request-ID"]
        assert read("req", id_)
        assert status == 200 or answer.json()["request_id"] == id_


def test_whoever_reads_nothing_is_cut_off_and_can_go_on(server: Server) -> None:
    token = server.token()
    tail = server.listen(token)
    tail.begin()
    data = json.dumps("x" * 100_000)
    for number in range(60):  # six megabytes: more than one answer may have
        server.publish(f"e{number}", data=data)
    time.sleep(1)
    tail.read()  # now it reads what there is, and that ends
    assert tail.end is not None
    assert tail.end["code"] in ("STREAM_TURN", "STREAM_SLOW")
    assert 5 < len(tail.ids) < 60
    with server.listen(token, tail.told[-1][0]) as rest:
        until(lambda: len(tail.ids) + len(rest.ids) == 60 or rest.closed.is_set(), 10)
        with server.listen(token, rest.last) as last:
            time.sleep(0.3)
            assert [*tail.ids, *rest.ids, *last.ids] == [f"e{number}" for number in range(60)]


def test_two_hundred_listeners_leave_the_api_as_quick_as_it_was(server: Server, other: Scope) -> None:
    token, operator = server.token(), server.token(role="operator")
    with ExitStack() as open_:
        tails = [open_.enter_context(server.listen(token)) for _ in range(200)]
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {operator}"
        times = []
        for number in range(60):
            started = time.monotonic()
            body = {"type": "order.created", "data": {}, "id": f"e{number}"}
            answer = session.post(f"http://127.0.0.1:{server.port}/api/v1/events", json=body, timeout=10)
            times.append(time.monotonic() - started)
            assert answer.status_code == 202
        expected = [f"e{number}" for number in range(60)]
        until(lambda: all(tail.ids == expected for tail in tails), 20)
        assert sorted(times)[-2] < 1.0
        more = [open_.enter_context(server.listen(token)) for _ in range(OF_WORKSPACE - 200)]
        assert {tail.status for tail in more} == {200}
        with server.listen(token) as one_too_many:
            assert (one_too_many.status, one_too_many.problem["code"]) == (503, "STREAMS_FULL")
            assert int(one_too_many.answer.headers["Retry-After"]) > 0
        with server.listen(server.token(other)) as neighbour:
            assert neighbour.status == 200

    def free() -> bool:
        with server.listen(token) as again:
            return again.status == 200

    until(free, 10, "places are given back")


def test_readers_that_break_off_anywhere_have_each_event_once(server: Server) -> None:
    token = server.token()
    stop = threading.Event()

    def publisher(number: int) -> None:
        for count in range(30):
            with server.tx() as tx:
                news = [NewEvent(type="order.created", data="{}", id=f"{number}-{count}-{part}") for part in range(3)]
                server.product.core.publisher.publish(tx, news)
                time.sleep((number + count) % 5 / 100)

    with server.listen(token) as first:
        start = first.last
    seen: list[str] = []

    def reader() -> None:
        last = start
        while not stop.is_set():
            with server.listen(token, last) as tail:
                tail.closed.wait(0.15)
                told = list(tail.told)
            kept = told[: len(told) * 2 // 3 + 1]  # what came after that was lost on the way
            seen.extend(event["id"] for _, event in kept)
            last = kept[-1][0] if kept else last

    threads = [threading.Thread(target=publisher, args=(number,)) for number in range(4)]
    reading = threading.Thread(target=reader)
    for thread in (*threads, reading):
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: len(seen) >= 360, 20)
    stop.set()
    reading.join()
    assert len(seen) == 360
    assert len(set(seen)) == 360


def socket(server: Server, token: str | None) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else None
    return connect(f"ws://127.0.0.1:{server.port}/api/v1/stream/ws", additional_headers=headers)


def say(ws: Any, **message: Any) -> Any:
    ws.send(json.dumps(message))
    return hear(ws)


def hear(ws: Any, seconds: float = 5) -> Any:
    """Return the next message that is no heartbeat."""
    while True:
        message = json.loads(ws.recv(timeout=seconds))
        if message.keys() != {"id"}:
            return message


def test_a_websocket_is_told_of_what_it_subscribes_to(server: Server) -> None:
    with socket(server, server.token()) as ws:
        assert say(ws, subscribe="order") == {"subscribed": "order"}
        assert json.loads(ws.recv(timeout=5)).keys() == {"id"}  # from here on it listens
        server.publish("paid", type_="invoice.paid")
        server.publish("a", type_="order.line.added")
        first = hear(ws)
        assert (first["event"]["id"], first["event"]["type"]) == ("a", "order.line.added")
        ws.send("subscribe:invoice")
        assert hear(ws) == {"subscribed": "invoice"}
        assert say(ws, ping=7) == {"pong": 7}
        assert say(ws, unsubscribe="order") == {"unsubscribed": "order"}
        server.publish("b")
        server.publish("c", type_="invoice.paid")
        assert hear(ws)["event"]["id"] == "c"
    with socket(server, None) as ws:
        assert say(ws, token=server.token()) == {"workspace": str(server.scope)}
        assert say(ws, subscribe="**", after=first["id"]) == {"subscribed": "**"}
        assert [hear(ws)["event"]["id"] for _ in range(2)] == ["b", "c"]


def test_a_websocket_says_what_is_wrong(server: Server) -> None:
    with pytest.raises(InvalidStatus) as refused:
        socket(server, "wrong")
    assert refused.value.response.status_code == 401
    for message in ('{"token": "wrong"}', "{}", '{"subscribe": "order"}', "no json"):
        with socket(server, None) as ws:
            ws.send(message)
            assert hear(ws)["error"]["code"] in ("UNAUTHENTICATED", "COMMAND_INVALID")
            with pytest.raises(ConnectionClosed):
                ws.recv(timeout=5)
    with socket(server, server.token()) as ws:
        for wrong in ({"subscribe": "order..x"}, {"subscribe": 7}, {"hello": 1}, {"subscribe": "a", "after": "x"}):
            assert "error" in say(ws, **wrong)
        assert say(ws, subscribe="order") == {"subscribed": "order"}
        assert say(ws, subscribe="order", after="7")["error"]["code"] == "COMMAND_INVALID"


def test_a_websocket_ends_with_its_token(server: Server) -> None:
    with socket(server, server.token(lifetime=2.0)) as ws:
        assert say(ws, subscribe="order") == {"subscribed": "order"}
        assert hear(ws)["error"]["code"] == "UNAUTHENTICATED"
