"""Publishing by the door and by the application: the same answers, headers and log lines, whatever comes."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from server import bootstrap
from server.access.authentication import TTL
from server.events.together import WAIT_SECONDS
from server.kernel.errors import Unavailable
from server.kernel.ids import read
from server.runtime.ports import free_port
from tests.support.product import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from server.access.authentication import TokenAuthentication
    from server.events.door import PublishDoor
    from server.web.direct import Plain
    from tests.api.world import Place, World

OF_THE_SERVER = ("connection", "date")
"""Headers that the server in front writes, as its socket stands just then."""
AROUND = {"Crossdock-Way": "around"}
"""A header that nobody reads, and that is not plain: the request goes to the application."""


class Case(NamedTuple):
    """A request; `{way}` in its body is another word each way. `door`: whether the door answers it by itself."""

    body: bytes = b'{"type": "door.opened", "data": {"n": 1}}'
    headers: Mapping[str, str] = MappingProxyType({})
    role: str = "operator"
    method: str = "POST"
    query: str = ""
    door: bool = False


def many(count: int) -> bytes:
    return json.dumps([{"type": "door.opened", "data": number} for number in range(count)]).encode()


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CASES = {
    "one event": Case(door=True),
    "everything that an event can say": Case(
        b'{"type": "door.opened", "data": [1.50, 1e2], "id": "a-{way}", "source": "shop", "subject": "s", '
        b'"time": "2026-01-01T00:00:00Z", "correlation_id": "c", "causation_id": "d", "schema_version": 2}',
        door=True,
    ),
    "the same again": Case(
        b'{"type": "door.opened", "data": [1.50, 1e2], "id": "a-{way}", "source": "shop", "subject": "s"}', door=True
    ),
    "other content under its id": Case(b'{"type": "door.opened", "data": 2, "id": "a-{way}", "source": "shop"}'),
    "a list": Case(many(3), door=True),
    "a list with one twice": Case(
        b'[{"type": "door.opened", "data": 1, "id": "l-{way}"}, {"type": "door.opened", "data": 1, "id": "l-{way}"}]',
        door=True,
    ),
    "a long list": Case(many(30)),
    "a list of one": Case(many(1), door=True),
    "an empty list": Case(b"[]"),
    "the older envelope": Case(
        b'{"id": "o-{way}", "type": "door.opened", "timestamp": "2026-01-01T00:00:00Z", "data": {}, '
        b'"metadata": {"source": "shop", "correlationId": "x", "userId": "y"}}',
        door=True,
    ),
    "a cloud event in our JSON": Case(
        b'{"specversion": "1.0", "id": "c-{way}", "source": "shop", "type": "door.opened", "data": {}}', door=True
    ),
    "a cloud event of its own type": Case(
        b'{"specversion": "1.0", "id": "d-{way}", "source": "shop", "type": "door.opened", "data": {}}',
        {"Content-Type": "application/cloudevents+json"},
    ),
    "a binary cloud event": Case(
        b'{"n": 1}', {"ce-specversion": "1.0", "ce-id": "b-{way}", "ce-source": "shop", "ce-type": "door.opened"}
    ),
    "a type with its schema": Case(b'{"type": "alpha.created", "data": {"order_id": "1"}}', door=True),
    "data that breaks its schema": Case(b'{"type": "alpha.created", "data": {"order_id": 1}}'),
    "a version that is not known": Case(b'{"type": "alpha.created", "data": {"order_id": "1"}, "schema_version": 9}'),
    "no type": Case(b'{"data": 1}'),
    "a field that nobody knows": Case(b'{"type": "door.opened", "data": 1, "colour": "red"}'),
    "a type of ours": Case(b'{"type": "crossdock.webhook.activated", "data": 1}'),
    "no JSON": Case(b"{"),
    "a key twice": Case(b'{"type": "door.opened", "type": "door.opened", "data": 1}'),
    "nested too deep": Case(b'{"type": "door.opened", "data": ' + b"[" * 80 + b"]" * 80 + b"}"),
    "half of a pair": Case(b'{"type": "door.opened", "data": "\\ud800"}'),
    "not UTF-8": Case(b'{"type": "door.opened", "data": "\xff"}'),
    "nothing": Case(b""),
    "a large one": Case(b'{"type": "door.opened", "data": "' + b"x" * 40_000 + b'"}'),
    "one that is too large": Case(b'{"type": "door.opened", "data": "' + b"x" * 1_100_000 + b'"}'),
    "a charset": Case(headers={"Content-Type": "application/json; charset=UTF-8"}, door=True),
    "another charset": Case(headers={"Content-Type": "application/json; charset=latin-1"}),
    "another type": Case(headers={"Content-Type": "text/plain"}),
    "no type of content": Case(headers={"Content-Type": ""}),
    "an encoding": Case(headers={"Content-Encoding": "gzip"}),
    "the encoding of none": Case(headers={"Content-Encoding": "identity"}),
    "a key": Case(headers={"Idempotency-Key": "k-{way}"}),
    "a hop": Case(headers={"Crossdock-Hops": "2"}),
    "too many hops": Case(headers={"Crossdock-Hops": "9"}),
    "a query": Case(query="?dry_run=true"),
    "a query of nothing": Case(query="?", door=True),
    "a correlation": Case(headers={"X-Correlation-ID": "given-1"}, door=True),
    "a correlation that is none": Case(headers={"X-Correlation-ID": "a b"}, door=True),
    "a trace": Case(headers={"traceparent": TRACE}, door=True),
    "a cookie": Case(headers={"Cookie": "session=1"}, door=True),
    "another method": Case(method="PUT"),
    "a viewer": Case(role="viewer"),
    "a token that is none": Case(headers={"Authorization": "Bearer cdk_nonsense"}),
    "another scheme": Case(headers={"Authorization": "Basic YTpi"}),
    "no token": Case(headers={"Authorization": ""}),
    "the scheme in capitals": Case(headers={"Authorization": "BEARER {token}"}, door=True),
    "a host that is none": Case(headers={"Host": "a_b c"}),
}


class Answered(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: str
    line: dict[str, Any]


class Served:
    """The application behind its server, and what it writes into its log."""

    def __init__(self, world: World, place: Place, home: Path) -> None:
        self.place, self.port, self.log = place, free_port(), home / "log"
        environment = os.environ | {
            "DATABASE_URL": world.product.settings.database_url,
            "CROSSDOCK_KEYS": world.product.settings.keys,
        }
        command = [sys.executable, "-m", "tests.api.served", str(home), str(self.port)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stderr=log)
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            with suppress(OSError, http.client.HTTPException):
                self.ask(Case(), "warm")
                return
            time.sleep(0.2)

    def ask(self, case: Case, way: str, **more: str) -> Answered:
        """Send a request and read its answer, with what differs each time taken out."""
        token = self.place.headers[case.role]["Authorization"].removeprefix("Bearer ")
        body = case.body.replace(b"{way}", way.encode())
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Host": "localhost"}
        headers |= {"Content-Length": str(len(body))} | case.headers | more
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.putrequest(case.method, f"/api/v1/events{case.query}", skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            if value:
                connection.putheader(name, value.replace("{way}", way).replace("{token}", token))
        connection.endheaders(body)
        got = connection.getresponse()
        content = got.read().decode()
        connection.close()
        shown = [(name, _same(value, way)) for name, value in got.getheaders() if name.lower() not in OF_THE_SERVER]
        return Answered(got.status, shown, _same(content, way), self._line(got.headers["X-Request-ID"], way))

    def _line(self, request_id: str | None, way: str) -> dict[str, Any]:
        until = time.monotonic() + 5
        while request_id is not None and time.monotonic() < until:
            for line in self.log.read_text("utf-8").splitlines():
                if request_id in line and '"event":"request"' in line:
                    found = json.loads(line)
                    found = {key: value for key, value in found.items() if key not in ("ms", "timestamp")}
                    return {key: _same(value, way) if isinstance(value, str) else value for key, value in found.items()}
            time.sleep(0.01)
        return {}


def _same(text: str, way: str) -> str:
    return re.sub(r"\b(req|cor|evt)_[0-9a-z]{26}", r"\1_…", text).replace(way, "WAY")


@pytest.fixture(scope="module")
def served(world: World, alpha: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    found = Served(world, alpha, tmp_path_factory.mktemp("home"))
    yield found
    found.process.terminate()
    found.process.wait(20)


@pytest.mark.parametrize("name", CASES)
def test_both_ways_give_the_same_answer(served: Served, name: str) -> None:
    case = CASES[name]
    served.ask(Case(), "warm", **AROUND)  # its token is known: else the first request would go around too
    quick, around = served.ask(case, "quick"), served.ask(case, "round", **AROUND)
    assert quick == around
    assert quick.status == 202 or not case.door


class Inside:
    """The door by itself, in a loop of its own."""

    def __init__(self, world: World, place: Place) -> None:
        settings = world.product.settings
        self.api = bootstrap.api(settings, built=world.product.core)
        self.door: PublishDoor = self.api.doors[0]  # type: ignore[assignment]
        self.place = place

    def ask(self, *cases: Case) -> list[Plain | None]:
        """Ask for all at once, with tokens that are known."""
        for role in {each.role for each in cases}:
            self.api.authenticate(self.place.headers[role]["Authorization"].removeprefix("Bearer "))
        return self.ask_now(*cases)

    def ask_now(self, *cases: Case) -> list[Plain | None]:
        async def go() -> list[Plain | None]:
            self.door.start(asyncio.get_running_loop())
            return await asyncio.gather(*(self.door.answer(*self._request(each)) for each in cases))

        return asyncio.run(go())

    def headers(self, case: Case) -> dict[str, str]:
        given = {
            "Authorization": self.place.headers[case.role]["Authorization"],
            "Content-Type": "application/json",
            "Content-Length": str(len(case.body.replace(b"{way}", b"inside"))),
            "Host": "localhost:8080",
        }
        token = given["Authorization"].removeprefix("Bearer ")
        return {name: value.replace("{token}", token) for name, value in (given | case.headers).items() if value}

    def _request(self, case: Case) -> tuple[Any, bytes]:
        lower = {name.lower(): value for name, value in self.headers(case).items()}
        scope = SimpleNamespace(headers=lower, query_string=case.query.removeprefix("?"))
        return scope, case.body.replace(b"{way}", b"inside")


@pytest.fixture(scope="module")
def inside(world: World, alpha: Place) -> Inside:
    return Inside(world, alpha)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.method == "POST"])
def test_the_door_answers_what_is_plain_and_good(inside: Inside, name: str) -> None:
    [answer] = inside.ask(CASES[name])
    assert (answer is not None) == CASES[name].door


def test_one_that_fails_among_many_is_handed_over_alone(inside: Inside) -> None:
    cases = [Case(b'{"type": "door.opened", "data": %d, "id": "m-%d"}' % (n, n)) for n in range(30)]
    cases[20] = Case(b'{"type": "door.opened", "data": "other", "id": "m-3"}')
    answers = inside.ask(*cases)
    assert [n for n, each in enumerate(answers) if each is None] in ([20], [3])
    assert json.loads(answers[4].body) == {"id": "m-4", "duplicate": False}  # type: ignore[union-attr]


def test_what_may_have_been_stored_is_not_handed_over(inside: Inside, world: World) -> None:
    publish = world.product.core.publisher.publish
    world.product.core.publisher.publish = _away  # type: ignore[method-assign]
    try:
        answers = inside.ask(*[Case()] * 10)
        around = world.client.post("/api/v1/events", data=Case().body, headers=inside.headers(Case()))
    finally:
        world.product.core.publisher.publish = publish  # type: ignore[method-assign]
    assert {each and each.status for each in answers} == {503}
    problem = json.loads(answers[0].body)  # type: ignore[union-attr]
    assert (problem["code"], problem["request_id"]) == ("DATABASE_AWAY", dict(answers[0].headers)["x-request-id"])  # type: ignore[union-attr]
    shown = [(name.lower(), _same(value, "x")) for name, value in around.headers]
    assert [(name, _same(value, "x")) for name, value in answers[0].headers] == shown  # type: ignore[union-attr]
    assert _same(answers[0].body.decode(), "way") == _same(around.text, "way")  # type: ignore[union-attr]


def _away(*_: object) -> Any:
    raise Unavailable("away", code="DATABASE_AWAY", after=1)


def test_one_that_waits_too_long_is_told_so_and_leaves_the_line(inside: Inside, world: World) -> None:
    publish = world.product.core.publisher.publish

    def slowly(*given: Any) -> Any:
        time.sleep(0.4)
        return publish(*given)

    world.product.core.publisher.publish = slowly  # type: ignore[method-assign]
    inside.door._together.wait_seconds = 0.1
    try:
        answers = inside.ask(*[Case()] * 6)
    finally:
        world.product.core.publisher.publish = publish  # type: ignore[method-assign]
        inside.door._together.wait_seconds = WAIT_SECONDS
    assert {each and each.status for each in answers} == {503}
    until(lambda: inside.door._together._lines == {})


def test_the_door_looks_again_once_for_all_and_trusts_a_token_no_longer_than_the_application(
    inside: Inside, world: World
) -> None:
    headers, token_id = world.token(inside.place.scope, "operator")
    case = Case(headers=headers)
    assert inside.ask(case) == [None]  # it was never seen: the application looks, and counts what is nobody's
    tokens: TokenAuthentication = inside.api.authenticate  # type: ignore[assignment]
    tokens(headers["Authorization"].removeprefix("Bearer "))
    looks: list[bytes] = []
    look_up = tokens._look_up
    tokens._look_up = lambda key, now: (looks.append(key), look_up(key, now))[1]  # type: ignore[method-assign]
    tokens._monotonic = lambda: time.monotonic() + TTL
    assert None not in inside.ask_now(*[case] * 10)
    assert len(looks) == 1
    with world.product.tx(inside.place.scope) as tx:
        tx.run("UPDATE tokens SET revoked_at = now() WHERE id = :id", id=read("tok", token_id))
    tokens._monotonic = lambda: time.monotonic() + 2 * TTL
    assert inside.ask_now(*[case] * 3) == [None] * 3
    tokens._look_up, tokens._monotonic = look_up, time.monotonic  # type: ignore[method-assign]
