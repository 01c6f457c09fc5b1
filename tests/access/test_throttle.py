"""Failed authentications are counted once for all processes, and bounded when Redis is away."""

from __future__ import annotations

import pytest
import redis

from server.access.throttle import LIMIT, AuthenticationFailures


@pytest.fixture
def shared(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url, socket_timeout=0.5)


def away() -> redis.Redis:
    return redis.Redis(port=1, socket_connect_timeout=0.1, retry=None)


def test_two_processes_count_together(shared: redis.Redis):
    one, other = (AuthenticationFailures(shared, clock=lambda: 1000.0) for _ in range(2))
    waits = [each.failed("10.0.0.1") for _ in range(LIMIT // 2 + 1) for each in (one, other)]
    assert waits == [None] * LIMIT + [20.0] * 2
    assert one.failed("10.0.0.2") is None


@pytest.mark.parametrize("client", [None, away()])
def test_without_redis_each_process_counts_for_itself(client):
    now = [1000.0]
    failures = AuthenticationFailures(client, clock=lambda: now[0])
    assert [failures.failed("10.0.0.1") for _ in range(LIMIT + 1)] == [None] * LIMIT + [20.0]
    now[0] += 20
    assert failures.failed("10.0.0.1") is None


def test_the_table_of_addresses_is_bounded():
    failures = AuthenticationFailures(clock=lambda: 0.0)
    for number in range(12_000):
        failures.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(failures._mine) == 10_000


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("[2001:db8::1]", "2001:db8::2", True),
        ("rubbish", "", True),
    ],
)
def test_a_network_of_ipv6_counts_as_one_client(one: str, other: str, same: bool):
    failures = AuthenticationFailures(clock=lambda: 0.0)
    for _ in range(LIMIT):
        failures.failed(one)
    assert (failures.failed(other) is not None) == same
