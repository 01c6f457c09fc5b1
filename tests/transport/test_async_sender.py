"""What only the asynchronous sender has: one pool per policy, timings, many at once."""

from __future__ import annotations

import asyncio
import time

import pytest

from server.kernel.errors import Permanent, Retryable
from server.transport.addresses import AddressPolicy
from server.transport.aio import AsyncSender, Request
from server.transport.limits import Limits
from server.transport.names import Resolver
from tests.transport.receiver import Receiver
from tests.transport.senders import LOOPBACK, PUBLIC_ONLY, QUICK


def running(work, policy=LOOPBACK, limits=QUICK, lookup=None):
    """Run `work(sender)` on a loop of its own."""

    async def run():
        sender = AsyncSender(policy, limits, resolver=Resolver(lookup) if lookup else None)
        try:
            return await work(sender)
        finally:
            await sender.close()

    return asyncio.run(run())


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
        started = time.monotonic()
        good = await asyncio.gather(*(sender.send(Request("GET", receiver.url())) for _ in range(50)))
        assert time.monotonic() - started < 0.8
        assert {answer.status for answer in good} == {200}
        failures = await asyncio.gather(*hanging, return_exceptions=True)
        assert {type(failure) for failure in failures} == {Retryable}
        assert {failure.code for failure in failures} == {"TIMEOUT"}

    running(work)


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


def test_the_first_byte_has_a_limit_of_its_own(receiver):
    async def work(sender):
        with pytest.raises(Retryable) as failed:
            await sender.send(Request("GET", receiver.url("/hang")))
        assert failed.value.details["phase"] == "first_byte"

    running(work, limits=Limits(total=5, first_byte=0.2))


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
