"""Receivers that misbehave, over every sender: each ends in time, within its size, and as the named failure."""

from __future__ import annotations

import resource
import socket
import ssl
import time

import psutil
import pytest
import trustme

from server.kernel.errors import CrossdockError, Permanent, Retryable
from server.transport.limits import Limits
from tests.transport.receiver import Receiver
from tests.transport.senders import LOOPBACK, QUICK, SENDERS, send_async, send_sync

BROKEN = {
    "short": "ANSWER_BROKEN",
    "bad-chunk": "ANSWER_BROKEN",
    "cut-chunk": "ANSWER_BROKEN",
    "cut-head": "ANSWER_BROKEN",
    "nothing": "ANSWER_BROKEN",
    "garbage": "ANSWER_BROKEN",
    "reset": "ANSWER_BROKEN",
    "reset/mid": "ANSWER_BROKEN",
    "two-lengths": "ANSWER_BROKEN",
    "many-headers": "ANSWER_BROKEN",
    "long-header": "ANSWER_BROKEN",
    "status/101": "ANSWER_BROKEN",
    "status/102": ("ANSWER_BROKEN", "TIMEOUT"),
    "flood/102": "ANSWER_BROKEN",
    "flood/103": "ANSWER_BROKEN",
    "flood/101": "ANSWER_BROKEN",
    "flood/100": ("ANSWER_BROKEN", "ANSWER_TOO_LARGE"),
    "hang": "TIMEOUT",
    "header-drip": "TIMEOUT",
    "body-drip": "TIMEOUT",
    "chunk-drip": "TIMEOUT",
    "endless": "ANSWER_TOO_LARGE",
    "large/200000": "ANSWER_TOO_LARGE",
    "gzip-bomb": "ANSWER_TOO_LARGE",
}
WORKS = {
    "ok": b"ok",
    "chunked": b"ok",
    "http10": b"ok",
    "close": b"ok",
    "early-hints": b"ok",
    "no-content": b"",
    "status/299": b"",
    "status/404": b"",
    "status/503": b"",
}


@pytest.mark.parametrize(("behaviour", "code"), BROKEN.items(), ids=BROKEN)
def test_a_misbehaving_receiver_is_a_named_failure_within_its_time(send, receiver, behaviour, code):
    started = time.monotonic()
    with pytest.raises(CrossdockError) as failed:
        send(receiver.url(f"/{behaviour}"))
    assert failed.value.code in ((code,) if isinstance(code, str) else code)
    assert failed.value.retryable == (failed.value.code != "ANSWER_TOO_LARGE")
    assert time.monotonic() - started < QUICK.total + 1


@pytest.mark.parametrize(("behaviour", "body"), WORKS.items(), ids=WORKS)
def test_every_proper_form_of_answer_is_taken(send, receiver, behaviour, body):
    answer = send(receiver.url(f"/{behaviour}"), method="POST", body=b"{}")
    assert answer.body == body
    if behaviour.startswith("status/"):
        assert answer.status == int(behaviour[7:])
        assert answer.headers["Retry-After"] == "7"


@pytest.mark.parametrize(("behaviour", "phase"), [("hang", "first_byte"), ("body-drip", "total")])
def test_a_receiver_that_has_not_begun_to_answer_is_told_from_one_that_does_not_end(send, receiver, behaviour, phase):
    with pytest.raises(Retryable) as failed:
        send(receiver.url(f"/{behaviour}"))
    assert (failed.value.details["phase"], failed.value.details["seconds"]) == (phase, QUICK.total)


def test_a_bomb_is_never_blown_up(send, receiver):
    before = psutil.Process().memory_info().rss
    with pytest.raises(Permanent):
        send(receiver.url("/gzip-bomb"))
    assert psutil.Process().memory_info().rss - before < 20_000_000


def test_a_plugin_gets_a_small_compressed_answer_in_plain(receiver):
    assert send_sync(receiver.url("/gzip")).body == b'{"a": 1}'


def test_of_a_delivery_answer_the_first_4_kib_are_kept(receiver):
    assert len(send_async(receiver.url("/large/60000")).body) == 4096


def test_a_large_error_page_is_still_the_error_that_it_is(receiver):
    answer = send_async(receiver.url("/large-error/200000"))
    assert (answer.status, len(answer.body)) == (503, 4096)


def test_nobody_at_the_address_is_a_failure_that_may_pass(send):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Retryable) as failed:
        send(f"http://127.0.0.1:{port}/")
    assert failed.value.code == "CONNECT_FAILED"


def test_a_receiver_that_takes_no_connection_is_a_time_out(send):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        started = time.monotonic()
        with pytest.raises(Retryable) as failed:
            send(f"http://127.0.0.1:{full.getsockname()[1]}/")
        assert failed.value.code == "TIMEOUT"
        assert time.monotonic() - started < QUICK.total + 1
        for each in waiting:
            each.close()


def test_an_address_that_says_nothing_leaves_time_for_the_next_one(send, receiver):
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.8", receiver.port))
        full.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        url = receiver.url(host="both.test")
        assert send(url, lookup=lambda _host, _port: ["127.0.0.8", "127.0.0.1"]).body == b"ok"


def test_a_name_server_that_hangs_is_a_time_out(send):
    def hang(_host, _port):
        time.sleep(2)
        return ["127.0.0.1"]

    started = time.monotonic()
    with pytest.raises(Retryable) as failed:
        send("http://slow.test/", lookup=hang)
    assert (failed.value.code, failed.value.details["phase"]) == ("TIMEOUT", "dns")
    assert time.monotonic() - started < 1


def test_a_name_without_an_address_is_a_failure_that_may_pass(send):
    with pytest.raises(Retryable) as failed:
        send("http://nowhere.invalid/", limits=Limits(total=10, dns=10))
    assert failed.value.code == "DNS_FAILED"


def test_a_receiver_that_does_not_read_ends_in_time(send):
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(5)
        started = time.monotonic()
        with pytest.raises(Retryable) as failed:
            send(f"http://127.0.0.1:{deaf.getsockname()[1]}/", method="POST", body=b"x" * 20_000_000)
        assert failed.value.code == "TIMEOUT"
        assert time.monotonic() - started < QUICK.total + 1


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def receiver_with(authority, *names):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return Receiver(tls=context)


def test_tls_with_the_right_name_is_taken_and_the_name_is_asked_for(send, authority, trusting):
    with receiver_with(authority, "right.test") as receiver:
        asked = []
        receiver.tls.sni_callback = lambda _socket, name, _context: asked.append(name)
        answer = send(receiver.url(host="right.test"), tls=trusting, lookup=lambda _host, _port: ["127.0.0.1"])
        assert (answer.body, asked) == (b"ok", ["right.test"])


@pytest.mark.parametrize("host", ["wrong.test", "127.0.0.1"])
def test_tls_with_another_name_or_a_bare_address_is_refused(send, authority, trusting, host):
    with receiver_with(authority, "right.test") as receiver:
        with pytest.raises(Retryable) as failed:
            send(receiver.url(host=host), tls=trusting, lookup=lambda _host, _port: ["127.0.0.1"])
        assert failed.value.code == "TLS_FAILED"
        assert not receiver.requests


def test_an_unknown_authority_is_refused(send, authority):
    with receiver_with(authority, "right.test") as receiver, pytest.raises(Retryable) as failed:
        send(receiver.url(host="right.test"), lookup=lambda _host, _port: ["127.0.0.1"])
    assert failed.value.code == "TLS_FAILED"


def test_plain_text_where_tls_is_spoken_is_a_named_failure(send):
    with Receiver(greeting=b"220 mail.test ESMTP\r\n") as plain, pytest.raises(Retryable) as failed:
        send(plain.url().replace("http:", "https:"))
    assert failed.value.code == "TLS_FAILED"


def test_a_handshake_that_hangs_ends_in_time(send):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(5)
        started = time.monotonic()
        with pytest.raises(Retryable) as failed:
            send(f"https://127.0.0.1:{deaf.getsockname()[1]}/")
        assert failed.value.code == "TIMEOUT"
        assert time.monotonic() - started < QUICK.total + 1


@pytest.mark.parametrize(
    "headers",
    [{"X-A": "a\r\nX-B: b"}, {"X-A": "a\0"}, {"X-A": "你"}, {"X A": "a"}, {"X:A": "a"}, {"": "a"}, {"X\r\nA": "a"}],
)
def test_a_header_that_could_split_the_request_is_refused_unsent(send, receiver, headers):
    before = receiver.connections
    with pytest.raises(Permanent) as refused:
        send(receiver.url(), headers=headers)
    assert refused.value.code == "REQUEST_REFUSED"
    assert receiver.connections == before


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade"])
def test_a_delivery_cannot_frame_its_own_request(receiver, name):
    with pytest.raises(Permanent) as refused:
        send_async(receiver.url(), headers={name: "1"})
    assert refused.value.code == "REQUEST_REFUSED"


@pytest.mark.parametrize("method", ["GET /x HTTP/1.1\r\nX: y\r\n\r\nGET", "", "G T", "CONNECT"])
def test_a_method_that_is_none_is_refused(send, receiver, method):
    with pytest.raises(Permanent) as refused:
        send(receiver.url(), method=method)
    assert refused.value.code == "REQUEST_REFUSED"


def test_a_plugin_cannot_lengthen_its_time(receiver):
    from server.transport.sync import guarded_session

    with guarded_session(LOOPBACK, QUICK) as session:
        started = time.monotonic()
        with pytest.raises(Retryable):
            session.get(receiver.url("/body-drip"), timeout=60)
        with pytest.raises(Retryable):
            session.get(receiver.url("/body-drip"), timeout=0.2, stream=True)
        assert time.monotonic() - started < QUICK.total + 1


def test_no_failure_leaves_a_connection_or_descriptor_open(receiver):
    process = psutil.Process()
    before = process.num_fds()
    for name, send in SENDERS.items():
        for behaviour in ("short", "reset/mid", "flood/102", "large/200000"):
            with pytest.raises(CrossdockError):
                send(receiver.url(f"/{behaviour}"))
        assert process.num_fds() - before < 20, name
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 20
