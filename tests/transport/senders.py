"""Every sender that we have behind one face, so that one corpus runs over all of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import uvloop

from server.transport.addresses import AddressPolicy
from server.transport.aio import AsyncSender, Request
from server.transport.limits import Limits
from server.transport.names import Resolver
from server.transport.sync import guarded_session

LOOPBACK = AddressPolicy(["127.0.0.0/8", "::1/128"])
PUBLIC_ONLY = AddressPolicy()
QUICK = Limits(total=1.0, dns=0.5, connect=0.5, body=64 * 1024)


def no_lookup(host, port):
    raise AssertionError(f"{host} was looked up")


@dataclass
class Seen:
    status: int
    headers: dict
    body: bytes


def send_sync(
    url,
    *,
    policy=LOOPBACK,
    limits=QUICK,
    lookup=None,
    tls=None,
    method="GET",
    headers=None,
    body=b"",
    times=1,
):
    resolver = Resolver(lookup) if lookup else None
    answers = []
    with guarded_session(policy, limits, resolver=resolver, tls=tls) as session:
        for _ in range(times):
            answer = session.request(method, url, headers=headers, data=body or None)
            answers.append(Seen(answer.status_code, dict(answer.headers), answer.content))
    return answers[-1]


def send_async(
    url,
    *,
    policy=LOOPBACK,
    limits=QUICK,
    lookup=None,
    tls=None,
    method="GET",
    headers=None,
    body=b"",
    times=1,
    run_on=asyncio.run,
):
    async def run():
        sender = AsyncSender(policy, limits, resolver=Resolver(lookup) if lookup else None, tls=tls)
        try:
            for _ in range(times):
                answer = await sender.send(Request(method, url, headers or {}, body, limits.total))
            return Seen(answer.status, dict(answer.headers), answer.body)
        finally:
            await sender.close()

    return run_on(run())


def send_uvloop(url, **options):
    return send_async(url, **options, run_on=uvloop.run)


SENDERS = {"requests": send_sync, "asyncio": send_async, "uvloop": send_uvloop}
