"""What only the asynchronous sender has: one pool per policy, timings, many at once."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import time
from contextlib import suppress

import psutil
import pytest
import trustme
import uvloop

from server.kernel.errors import CrossdockError, Permanent, Retryable
from server.transport import pool
from server.transport.addresses import AddressPolicy
from server.transport.aio import AsyncSender, Request
from server.transport.connection import Connection
from server.transport.limits import Limits
from server.transport.names import Resolver
from tests.transport.receiver import Receiver
from tests.transport.senders import LOOPBACK, PUBLIC_ONLY, QUICK


def running(work, policy=LOOPBACK, limits=QUICK, lookup=None, run_on=asyncio.run, **options):
    """Run `work(sender)` on a loop of its own."""

    async def run():
        sender = AsyncSender(policy, limits, resolver=Resolver(lookup) if lookup else None, **options)
        try:
            return await work(sender)
        finally:
            await sender.close()

    return run_on(run())


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run_on(request):
    """Each event loop in turn."""
    return request.param


def sent(receiver, *paths, run_on=asyncio.run, **request):
    """Send to these paths one after the other; return what came of each, and how many connections that took."""

    async def work(sender):
        results = []
        for path in paths:
            try:
                results.append((await sender.send(Request(url=receiver.url(path), **request))).status)
            except CrossdockError as error:
                results.append(error.code)
            await asyncio.sleep(0.02)  # what comes after an answer has time to come
        return results

    request.setdefault("method", "POST")
    before = receiver.connections
    return running(work, run_on=run_on), receiver.connections - before


def test_an_idle_connection_of_one_workspace_is_not_used_for_another(receiver):
    async def work(sender):
        await sender.send(Request("GET", receiver.url()))
        with pytest.raises(Permanent) as refused:
            await sender.send(Request("GET", receiver.url()), PUBLIC_ONLY)
        assert refused.value.code == "ADDRESS_REFUSED"
        await sender.send(Request("GET", receiver.url()), AddressPolicy(["::1/128", "127.0.0.0/8"]))

    before = receiver.connections
    running(work)
    assert receiver.connections == before + 1


def test_more_policies_than_are_kept_open_are_served(receiver):
    async def work(sender):
        for number in range(70):
            policy = AddressPolicy(["127.0.0.0/8", f"10.0.{number}.0/24"])
            assert (await sender.send(Request("GET", receiver.url()), policy)).status == 200

    running(work)


def test_an_answer_tells_its_timings_and_the_address_that_was_dialled(receiver):
    async def work(sender):
        url = receiver.url(host="named.test")
        return [await sender.send(Request("POST", url, {"X-A": "b"}, b"{}")) for _ in range(2)]

    first, second = running(work, lookup=lambda _host, _port: ["127.0.0.1"])
    assert first.timings.keys() == {"dns", "connect", "first_byte", "total"}
    assert 0 < first.timings["connect"] <= first.timings["first_byte"] <= first.timings["total"] < 1000
    assert second.timings.keys() == {"connect", "first_byte", "total"}
    assert second.timings["connect"] == 0
    assert first.address == second.address == "127.0.0.1"


def test_a_request_is_sent_as_it_is_and_nothing_is_added_that_tells_on_us(receiver):
    async def work(sender):
        body = '{"ü": 1}'.encode()
        return await sender.send(Request("POST", receiver.url("/echo/%7E?q=%20"), {"content-type": "x/y"}, body))

    head = running(work).body
    assert head.startswith(b"POST /echo/%7E?q=%20 HTTP/1.1\r\n")
    assert b"content-length: 9" in head.lower()
    assert b"user-agent: crossdock" in head.lower()
    assert b"python" not in head.lower()


def test_hanging_receivers_do_not_hold_up_the_others(receiver):
    async def work(sender):
        hanging = [asyncio.create_task(sender.send(Request("GET", receiver.url("/hang")))) for _ in range(200)]
        await asyncio.sleep(0.1)
        good = await asyncio.gather(*(sender.send(Request("GET", receiver.url())) for _ in range(50)))
        assert not any(each.done() for each in hanging)
        assert {answer.status for answer in good} == {200}
        failures = await asyncio.gather(*hanging, return_exceptions=True)
        assert {type(failure) for failure in failures} == {Retryable}
        assert {failure.code for failure in failures} == {"TIMEOUT"}

    running(work, limits=Limits(total=2.0))


def test_slow_names_do_not_hold_up_the_others(receiver):
    def lookup(host, _port):
        if host.startswith("slow"):
            time.sleep(1)
        return ["127.0.0.1"]

    async def work(sender):
        slow = [
            asyncio.create_task(sender.send(Request("GET", receiver.url(host=f"slow{number}.test"))))
            for number in range(20)
        ]
        await asyncio.sleep(0.05)
        started = time.monotonic()
        await sender.send(Request("GET", receiver.url(host="quick.test")))
        assert time.monotonic() - started < 0.4
        results = await asyncio.gather(*slow, return_exceptions=True)
        assert {result.details["phase"] for result in results} == {"dns"}

    running(work, lookup=lookup)


def test_one_look_up_serves_all_who_wait_for_it_and_fails_for_all(receiver):
    asked = []

    def lookup(host, _port):
        asked.append(host)
        time.sleep(0.1)
        return ["10.0.0.1"]

    async def work(sender):
        url = receiver.url(host="shared.test")
        results = await asyncio.gather(*(sender.send(Request("GET", url)) for _ in range(10)), return_exceptions=True)
        assert {getattr(result, "code", result) for result in results} == {"ADDRESS_REFUSED"}

    running(work, lookup=lookup)
    assert len(asked) == 1


def test_a_request_cannot_outlast_the_limit(receiver):
    async def work(sender):
        started = time.monotonic()
        with pytest.raises(Retryable):
            await sender.send(Request("GET", receiver.url("/body-drip"), timeout=60))
        with pytest.raises(Retryable) as failed:
            await sender.send(Request("GET", receiver.url("/body-drip"), timeout=0.2))
        assert failed.value.details["seconds"] == 0.2
        assert time.monotonic() - started < QUICK.total + 1

    running(work)


def test_a_request_and_its_secrets_are_not_shown_when_printed():
    shown = repr(Request("GET", "https://x.test/?key=s3cret", {"Authorization": "Bearer s3cret"}, b"s3cret"))
    assert "s3cret" not in shown


def test_a_receiver_that_closes_idle_connections_is_reached_again():
    async def work(sender):
        with Receiver() as receiver:
            port = receiver.port
            await sender.send(Request("GET", receiver.url()))
        await asyncio.sleep(0.1)
        with pytest.raises(Retryable) as gone:
            await sender.send(Request("GET", f"http://127.0.0.1:{port}/ok"))
        assert gone.value.code == "CONNECT_FAILED"

    running(work)


@pytest.mark.parametrize(
    "path", ["/ok", "/chunked", "/trailers/3", "/kept", "/no-content", "/status/500", "/early-hints"]
)
def test_a_connection_serves_the_next_request_after_a_whole_answer(receiver, run_on, path):
    assert sent(receiver, path, "/ok", run_on=run_on)[1] == 1


@pytest.mark.parametrize(
    "path",
    ["/close", "/http10", "/extra/x", "/extra/HTTP%2F1.1%20200%20OK%0D%0A%0D%0A", "/large-error/200000", "/short", "/hang",
     "/two-lengths", "/bad-chunk", "/trailers/20000", "/reset"],
)  # fmt: skip
def test_a_connection_serves_nobody_else_after_anything_else(receiver, run_on, path):
    (_, status), connections = sent(receiver, path, "/ok", run_on=run_on)
    assert (status, connections) == (200, 2)


def test_bytes_that_come_while_nobody_asks_end_the_connection(receiver, run_on):
    async def work(sender):
        await sender.send(Request("GET", receiver.url("/late")))
        await asyncio.sleep(0.4)
        assert not connected(receiver.port)

    running(work, run_on=run_on)


def test_what_comes_after_an_answer_is_never_taken_for_the_next_one(receiver):
    stray = "/extra/HTTP%2F1.1%20299%20OK%0D%0AContent-Length:0%0D%0A%0D%0A"
    assert sent(receiver, stray, "/status/404")[0] == [200, 404]


def test_a_request_on_a_connection_closed_meanwhile_is_sent_once_more_and_not_again(receiver, run_on):
    before = len(receiver.requests)
    assert sent(receiver, "/ok", "/nothing", run_on=run_on) == ([200, "ANSWER_BROKEN"], 2)
    assert len(receiver.requests) - before == 3


@pytest.mark.parametrize("path", ["/cut-head", "/short", "/hang"])
def test_a_request_of_which_an_answer_began_or_that_ran_out_of_time_is_not_sent_again(receiver, path):
    before = len(receiver.requests)
    (_, code), connections = sent(receiver, "/ok", path)
    assert code in {"ANSWER_BROKEN", "TIMEOUT"}
    assert (len(receiver.requests) - before, connections) == (2, 1)


@pytest.mark.parametrize(
    ("headers", "code"),
    [("127-10", 200), ("128-10", "ANSWER_BROKEN"), ("1-8190", 200), ("1-8191", "ANSWER_BROKEN"), ("7-8190", 200),
     ("8-8190", "ANSWER_BROKEN")],
)  # fmt: skip
def test_a_head_has_its_limits(receiver, headers, code):
    assert sent(receiver, f"/headers/{headers}")[0] == [code]


@pytest.mark.parametrize(("path", "code"), [("/interim/8", 200), ("/interim/9", "ANSWER_BROKEN")])
def test_interim_answers_have_their_limit(receiver, path, code):
    assert sent(receiver, path)[0] == [code]


def test_what_comes_without_being_body_is_bounded_too(receiver):
    assert sent(receiver, "/extensions")[0] == ["ANSWER_TOO_LARGE"]


def test_an_answer_to_head_has_no_body_whatever_its_length_says(receiver):
    assert sent(receiver, "/large/9", "/ok", method="HEAD")[0] == [200, 200]


def test_a_large_body_arrives_whole(receiver, run_on):
    body = bytes(range(256)) * 20_000
    assert sent(receiver, "/ok", "/ok", run_on=run_on, body=body) == ([200, 200], 1)
    assert receiver.body == body


def test_an_answer_that_comes_before_a_large_body_is_sent_is_taken_and_ends_the_sending(receiver, run_on):
    async def work(sender):
        answer = await sender.send(Request("POST", receiver.url("/unread"), body=b"x" * 30_000_000))
        await asyncio.sleep(0.02)
        assert (answer.status, connected(receiver.port)) == (413, [])  # what is half sent carries no other request

    running(work, run_on=run_on)


def connected(port):
    return [each for each in psutil.Process().net_connections("tcp") if each.raddr and each.raddr.port == port]


def test_a_request_that_is_given_up_closes_its_connection(run_on):
    async def work(sender):
        with Receiver() as receiver:
            under_way = asyncio.create_task(sender.send(Request("GET", receiver.url("/hang"))))
            await asyncio.sleep(0.1)
            assert connected(receiver.port)
            under_way.cancel()
            await asyncio.sleep(0.05)
            assert not connected(receiver.port)

    running(work, run_on=run_on)


def test_closing_ends_what_is_under_way_and_leaves_no_connection(receiver, run_on):
    async def work(sender):
        await sender.send(Request("GET", receiver.url()))
        under_way = asyncio.create_task(sender.send(Request("GET", receiver.url("/hang"))))
        await sender.send(Request("GET", receiver.url()))
        await asyncio.sleep(0.05)
        await sender.close()
        assert not connected(receiver.port)
        with pytest.raises(Retryable) as failed:
            await under_way
        assert failed.value.code == "ANSWER_BROKEN"

    running(work, run_on=run_on)


def test_what_still_connects_when_it_is_closed_fails_and_leaves_no_connection(receiver, run_on):
    async def work(sender):
        dialling = [asyncio.create_task(sender.send(Request("GET", receiver.url()))) for _ in range(20)]
        await asyncio.sleep(0)  # each has begun, none is connected
        await sender.close()
        results = await asyncio.gather(*dialling, return_exceptions=True)
        assert {getattr(each, "code", "sent") for each in results} == {"ANSWER_BROKEN"}
        await asyncio.sleep(0.05)
        assert not connected(receiver.port)
        with pytest.raises(Retryable):
            await sender.send(Request("GET", receiver.url()))

    running(work, run_on=run_on)


def test_closing_gives_up_look_ups_under_way(run_on, caplog):
    async def work(sender):
        under_way = asyncio.create_task(sender.send(Request("GET", "http://slow.test/")))
        await asyncio.sleep(0.05)
        await sender.close()
        with pytest.raises(Retryable) as failed:
            await under_way
        assert failed.value.code == "DNS_FAILED"

    started = time.monotonic()
    running(work, run_on=run_on, lookup=lambda _host, _port: time.sleep(0.3))
    assert time.monotonic() - started < 0.25
    time.sleep(0.3)
    assert not caplog.records


def test_idle_connections_are_closed_after_a_while_and_no_timer_runs_without_them(receiver, monkeypatch):
    async def work(sender):
        await sender.send(Request("GET", receiver.url()))
        assert len(connected(receiver.port)) == 1
        await asyncio.sleep(0.3)
        assert not connected(receiver.port)
        assert sender._pool._sweeper is None

    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.1)
    running(work)


def test_not_more_idle_connections_are_kept_than_the_bound(receiver, monkeypatch):
    async def work(sender):
        requests = (Request("GET", receiver.url(host=f"n{number}.test")) for number in range(20))
        await asyncio.gather(*(sender.send(each) for each in requests))
        await asyncio.sleep(0.05)
        assert len(connected(receiver.port)) == 5

    monkeypatch.setattr(pool, "IDLE_CONNECTIONS", 5)
    running(work, lookup=lambda _host, _port: ["127.0.0.1"])


def test_an_address_that_says_nothing_does_not_hold_up_the_next_one(receiver, run_on):
    async def work(sender):
        started = time.monotonic()
        answer = await sender.send(Request("GET", receiver.url(host="both.test")))
        assert answer.address == "127.0.0.1"
        assert time.monotonic() - started < 0.45

    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.7", receiver.port))
        full.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        running(work, run_on=run_on, lookup=lambda _host, _port: ["127.0.0.7", "127.0.0.1"])


def test_a_closed_connection_is_freed_at_once(receiver, run_on):
    async def work(sender):
        for path in ("/close", "/ok", "/short", "/hang"):
            with suppress(CrossdockError):
                await sender.send(Request("POST", receiver.url(path), {}, b"{}", timeout=0.1))
        await sender.close()
        await asyncio.sleep(0)

    gc.collect()
    gc.disable()
    try:
        running(work, run_on=run_on)
        left = [each for each in gc.get_objects() if isinstance(each, Connection)]
    finally:
        gc.enable()
    assert not left


def test_a_handshake_has_a_limit_of_its_own(run_on):
    async def work(sender):
        with pytest.raises(Retryable) as failed:
            await sender.send(Request("GET", f"https://127.0.0.1:{deaf.getsockname()[1]}/"))
        assert (failed.value.code, failed.value.details["phase"]) == ("TIMEOUT", "tls")

    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(5)
        running(work, run_on=run_on, limits=Limits(tls=0.1))


def test_a_client_certificate_is_shown_where_it_is_given_and_shares_no_connection(run_on):
    authority = trustme.CA()
    asking = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(asking)
    authority.configure_trust(asking)
    asking.verify_mode = ssl.CERT_REQUIRED
    plain, ours = ssl.create_default_context(), ssl.create_default_context()
    for each in (plain, ours):
        authority.configure_trust(each)
    authority.issue_cert("me@crossdock.test").configure_cert(ours)

    async def work(sender):
        url = receiver.url()
        assert (await sender.send(Request("GET", url, tls=ours))).status == 200
        assert (await sender.send(Request("GET", url, tls=ours))).timings["connect"] == 0
        with pytest.raises(Retryable) as refused:
            await sender.send(Request("GET", url))
        assert refused.value.code in {"ANSWER_BROKEN", "TLS_FAILED"}

    with Receiver(tls=asking) as receiver:
        running(work, run_on=run_on, tls=plain)


def test_names_are_looked_up_again_after_seconds_and_vetted_for_every_connection(receiver):
    asked = []

    def lookup(host, _port):
        asked.append(host)
        return ["127.0.0.1"]

    async def work(sender):
        for _ in range(3):
            await sender.send(Request("GET", receiver.url("/close", host="often.test")))
        with pytest.raises(Permanent):
            await sender.send(Request("GET", receiver.url("/close", host="often.test")), PUBLIC_ONLY)

    running(work, lookup=lookup)
    assert len(asked) == 1
