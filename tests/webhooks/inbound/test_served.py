"""The attack list over a real server: what a socket can do that a call in the process cannot."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import standardwebhooks

from server.runtime.ports import free_port
from server.sdk.signing import generate_secret
from tests.support.databases import empty
from tests.support.inbound import declare
from tests.support.product import Product

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = b'{"id": 1}'
SLOW = 150
NUMBERS = itertools.count()


class Wire:
    """A server with a signed endpoint `orders`, and the secret of its sender."""

    def __init__(self, product: Product, port: int, secret: str) -> None:
        self.product = product
        self.port = port
        self.secret = secret

    def signed(self, id_: str, body: bytes = BODY, *, at: float = 0.0, **more: str) -> bytes:
        """Make the headers of a signed request, all but its length."""
        now = int(time.time() + at)
        signature = sign(self.secret, id_, now, body)
        headers = {"webhook-id": id_, "webhook-timestamp": str(now), "webhook-signature": signature}
        given = {"Host": "localhost", "Content-Type": "application/json", **headers, **more}
        return "".join(f"{name}: {value}\r\n" for name, value in given.items() if value).encode("latin-1")

    def send(self, content: bytes) -> tuple[int, dict[str, Any]]:
        """Send bytes; return the status of the first answer (0: the connection was closed) and its JSON."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=8) as connection:
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(content)
            return answer(connection)

    def post(
        self, headers: bytes, body: bytes = BODY, path: str = "/in/default/default/orders"
    ) -> tuple[int, dict[str, Any]]:
        """Post a whole body."""
        length = b"Content-Length: %d\r\n" % len(body)
        return self.send(f"POST {path} HTTP/1.1\r\n".encode("latin-1") + headers + length + b"\r\n" + body)

    def stored(self) -> int:
        return int(self.product.rows("SELECT count(*) AS n FROM inbound_requests")[0].n)


def sign(secret: str, id_: str, now: int, body: bytes) -> str:
    return str(standardwebhooks.Webhook(secret).sign(id_, datetime.fromtimestamp(now, UTC), body.decode()))


def answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """Read one answer."""
    found = b""
    with suppress(ConnectionResetError):
        while b"\r\n\r\n" not in found:
            piece = connection.recv(65536)
            if not piece:
                return 0, {}
            found += piece
        head, _, body = found.partition(b"\r\n\r\n")
        lines = [each.lower() for each in head.split(b"\r\n")]
        length = next((int(each[15:]) for each in lines if each.startswith(b"content-length:")), 0)
        while len(body) < length:
            body += connection.recv(65536)
        return int(found.split(b" ", 2)[1]), json.loads(body[:length]) if b"json" in head else {}
    return 0, {}


@pytest.fixture(scope="module")
def wire(reused_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    product = Product(reused_database)
    secret = generate_secret()
    with product.tx() as tx:
        product.core.secrets.set(tx, "SENDER", secret)
    verify = {"scheme": "standard-webhooks", "key": {"secret": "SENDER"}}
    declare(product, "orders", verify=verify)
    declare(product, "office", verify=verify, allow_networks=["203.0.113.0/24"])
    port = free_port()
    environment = os.environ | {
        "DATABASE_URL": product.settings.database_url,
        "CROSSDOCK_KEYS": product.settings.keys,
        "CROSSDOCK_TRUSTED_PROXIES": "127.0.0.1/32",
    }
    home = str(tmp_path_factory.mktemp("home"))
    process = subprocess.Popen([sys.executable, "-m", "tests.api.served", home, str(port)], env=environment)
    found = Wire(product, port, secret)
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError):
            if found.send(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200:
                break
        time.sleep(0.2)
    yield found
    process.terminate()
    process.wait(20)
    product.close()
    empty(reused_database)


def test_a_signed_request_is_taken_and_the_same_again_is_answered_the_same(wire: Wire) -> None:
    before = wire.stored()
    headers = wire.signed("msg_first")
    first = wire.post(headers)
    assert first[0] == 202
    assert [wire.post(headers) for _ in range(3)] == [first] * 3
    assert wire.stored() == before + 1


ATTACKS: dict[str, dict[str, Any]] = {
    "no signature": {"webhook-signature": ""},
    "another version only": {"webhook-signature": "v2,AAAA"},
    "v1a where v1 is set": {"webhook-signature": "v1a," + "A" * 86 + "=="},
    "no comma": {"webhook-signature": "v1"},
    "bad base64": {"webhook-signature": "v1,%%%"},
    "no ASCII": {"webhook-signature": "v1,\xe9\xff"},
    "very many signatures": {"webhook-signature": " ".join(["v1," + "A" * 43 + "="] * 400)},
    "an empty id": {"webhook-id": ""},
    "an id with a dot": {"webhook-id": "a.b"},
    "another id": {"webhook-id": "msg_other"},
    "a timestamp that is none": {"webhook-timestamp": "now"},
    "a negative timestamp": {"webhook-timestamp": "-1"},
    "a timestamp of then": {"webhook-timestamp": "1000000000"},
    "a timestamp too long": {"webhook-timestamp": "9" * 400},
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_whoever_does_not_know_the_secret_is_told_one_thing(wire: Wire, attack: str) -> None:
    before = wire.stored()
    status, problem = wire.post(wire.signed("msg_attack", **ATTACKS[attack]))
    assert (status, problem["code"], problem["detail"]) == (401, "SIGNATURE_REFUSED", "the signature is refused")
    assert "details" not in problem
    assert wire.stored() == before


@pytest.mark.parametrize(
    "strange",
    [
        {"x-shop": "Caf\xe9 \xff\xfe"},
        {"Content-Type": "application/json; charset=\xe9"},
        {"Content-Type": "\xff"},
        {"traceparent": "00-\xff"},
        {"crossdock-hops": "\xb2", "crossdock-delivery-id": "dlv_\xe9"},
        {"Host": "\xe9:99999", "x-forwarded-for": "\xff", "forwarded": "for=\xff;;=,="},
        {"x-http-method-override": "GET", "x-original-url": "/in/none/such/orders"},
    ],
)
def test_strange_headers_of_a_sender_that_is_known_are_no_fault_of_ours(wire: Wire, strange: dict[str, str]) -> None:
    number = next(NUMBERS)
    status, problem = wire.post(wire.signed(f"msg_strange-{number}", **strange))
    assert status in (0, 202, 400, 415), problem


@pytest.mark.parametrize("at", [-301, 301])
def test_a_signature_of_another_time_is_refused(wire: Wire, at: int) -> None:
    assert wire.post(wire.signed("msg_time", at=at))[0] == 401


def test_two_signature_headers_are_none(wire: Wire) -> None:
    headers = wire.signed("msg_twice")
    [line] = [each for each in headers.split(b"\r\n") if each.startswith(b"webhook-signature")]
    assert wire.post(headers + line + b"\r\n")[0] == 401


@pytest.mark.parametrize("body", [BODY + b" ", b'{ "id":1}', "\ufeff".encode() + BODY, BODY.decode().encode("utf-16")])
def test_a_body_that_was_written_anew_is_refused(wire: Wire, body: bytes) -> None:
    assert wire.post(wire.signed("msg_body"), body)[0] == 401


SIZE = b"Content-Length: %d" % len(BODY)
FRAMINGS: dict[str, tuple[bytes, bytes, set[int]]] = {
    "over the limit and never sent": (b"Content-Length: 1048577", b"", {413}),
    "longer than it is": (b"Content-Length: 1000", BODY, {408}),
    "no number": (b"Content-Length: abc", BODY, {0, 400}),
    "said twice": (SIZE + b"\r\nContent-Length: 1", BODY, {0, 400}),
    "endless chunks": (b"Transfer-Encoding: chunked", (b"10000\r\n" + b"x" * 0x10000 + b"\r\n") * 17, {413}),
    "chunks that stop": (b"Transfer-Encoding: chunked", b"10000\r\nx", {408}),
    "chunks of no size": (b"Transfer-Encoding: chunked", b"zz\r\n{}\r\n0\r\n\r\n", {0, 400, 401}),
    "packed": (SIZE + b"\r\nContent-Encoding: gzip", BODY, {415}),
}


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_body_whose_framing_lies_stores_nothing(wire: Wire, framing: str) -> None:
    line, body, statuses = FRAMINGS[framing]
    before, began = wire.stored(), time.monotonic()
    headers = wire.signed("msg_framing") + line + b"\r\n\r\n"
    status, _ = wire.send(b"POST /in/default/default/orders HTTP/1.1\r\n" + headers + body)
    assert status in statuses
    assert time.monotonic() - began < 4
    assert wire.stored() == before


def test_a_body_in_chunks_is_one_body(wire: Wire) -> None:
    headers = wire.signed("msg_chunks") + b"Transfer-Encoding: chunked\r\n\r\n"
    chunks = b"4\r\n" + BODY[:4] + b"\r\n5\r\n" + BODY[4:] + b"\r\n0\r\n\r\n"
    assert wire.send(b"POST /in/default/default/orders HTTP/1.1\r\n" + headers + chunks)[0] == 202


@pytest.mark.parametrize(
    "path",
    [
        "/in/",
        "/in/default",
        "/in/default/default",
        "/in/default/default/",
        "/in/default/default/none",
        "/in/none/such/orders",
        "/in/default/default/orders/../orders",
        "/in/default/default/orders%00",
        "/in/default/default/orders%2f",
        "/in/default/default/%ff%fe",
        "/in/default/default/\xe9",
        "/in//default/orders",
    ],
)
def test_a_path_that_leads_nowhere_is_404_and_says_nothing(wire: Wire, path: str) -> None:
    status, problem = wire.post(wire.signed("msg_path"), path=path)
    assert (status, problem.get("code")) in ((404, "NOT_FOUND"), (422, "HEADERS_REFUSED"), (400, None), (0, None)), (
        problem
    )


def test_a_path_that_cannot_be_stored_says_so(wire: Wire) -> None:
    status, problem = wire.post(wire.signed("msg_path"), path="/in/default/default/orders%00")
    assert (status, problem["code"], problem["detail"]) == (422, "HEADERS_REFUSED", "a path must not hold U+0000")


def test_more_than_a_hundred_headers_are_refused(wire: Wire) -> None:
    many = {f"x-{number}": "1" for number in range(120)}
    assert wire.post(wire.signed("msg_many", **many))[0] in (0, 400, 422, 431)


def test_those_who_send_slowly_hold_nobody_up(wire: Wire) -> None:
    slow = []
    head = b"POST /in/default/default/orders HTTP/1.1\r\n" + wire.signed("msg_slow") + b"Content-Length: 9\r\n\r\n{"
    for _ in range(SLOW):
        connection = socket.create_connection(("127.0.0.1", wire.port), timeout=8)
        connection.sendall(head)
        slow.append(connection)
    took = []
    for number in range(20):
        began = time.monotonic()
        assert wire.post(wire.signed(f"msg_beside_{number}"))[0] == 202
        took.append(time.monotonic() - began)
    assert max(took) < 1
    assert {answer(each)[0] for each in slow} == {408}
    for each in slow:
        each.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-Forwarded-For": "203.0.113.7"}, 202),
        ({"X-Forwarded-For": "203.0.113.7, 198.51.100.1"}, 401),
        ({"X-Forwarded-For": "198.51.100.1, 203.0.113.7"}, 202),
        ({"X-Forwarded-For": "203.0.113.7, 127.0.0.1"}, 202),
        ({"Forwarded": 'for="203.0.113.9:1234";proto=https'}, 202),
        ({"Forwarded": "for=unknown", "X-Forwarded-For": "203.0.113.7"}, 401),
    ],
)
def test_a_trusted_proxy_says_who_sends_as_far_back_as_it_is_trusted(
    wire: Wire, headers: dict[str, str], status: int
) -> None:
    sent = wire.signed(f"msg_{abs(hash(str(headers)))}", **headers)
    assert wire.post(sent, path="/in/default/default/office")[0] == status


def test_fifty_equal_ones_at_once_are_one(wire: Wire) -> None:
    before, headers = wire.stored(), wire.signed("msg_race")
    with ThreadPoolExecutor(25) as threads:
        found = list(threads.map(lambda _: wire.post(headers), range(50)))
    assert found == [found[0]] * 50
    assert found[0][0] == 202
    assert wire.stored() == before + 1


def test_many_requests_of_one_connection_are_answered_one_after_the_other(wire: Wire) -> None:
    with socket.create_connection(("127.0.0.1", wire.port), timeout=8) as connection:
        for number in range(5):
            head = b"POST /in/default/default/orders HTTP/1.1\r\n" + wire.signed(f"msg_kept_{number}")
            connection.sendall(head + SIZE + b"\r\n\r\n" + BODY)
            assert answer(connection)[0] == 202
