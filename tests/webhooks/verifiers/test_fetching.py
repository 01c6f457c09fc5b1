"""Key material: kept a while, asked for anew once a minute, over the guarded transport, each workspace on its own."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from server.kernel.errors import CrossdockError, Permanent, Retryable
from server.store import Scope
from server.transport.addresses import AddressPolicy
from server.webhooks.verifiers.fetching import Asking, KeyMaterial
from tests.support.receiver import Answer, Receiver

A, B = Scope(1, 1, "a", "a"), Scope(2, 2, "b", "b")
URL = "https://sender.example/jwks"


@dataclass
class Side:
    """The other side: what it answers, and who asked for what."""

    asked: list[tuple[str, str]] = field(default_factory=list)
    failure: CrossdockError | None = None
    gate: threading.Event | None = None
    now: float = 0.0

    def get(self, url, policy):
        self.asked.append((url, policy))
        if self.gate:
            self.gate.wait(5)
        if self.failure:
            raise self.failure
        return f"{policy} {len(self.asked)}".encode()

    def material(self):
        return KeyMaterial(lambda scope: f"policy of {scope}", self.get, lambda: self.now)


def test_what_was_fetched_serves_ten_minutes_and_each_workspace_asks_under_its_own_policy():
    side = Side()
    material = side.material()
    for _ in range(3):
        assert material.of(A)(URL) == b"policy of a/a 1"
    assert material.of(B)(URL) == b"policy of b/b 2"
    side.now = 599
    assert material.of(A)(URL) == b"policy of a/a 1"
    side.now = 600
    assert material.of(A)(URL) == b"policy of a/a 3"
    assert [policy for _, policy in side.asked] == ["policy of a/a", "policy of b/b", "policy of a/a"]


def test_asking_anew_is_heard_once_a_minute():
    side = Side()
    fetch = side.material().of(A)
    fetch(URL)
    assert [fetch(URL, anew=True) for _ in range(5)] == [b"policy of a/a 1"] * 5
    side.now = 60
    assert [fetch(URL, anew=True) for _ in range(5)] == [b"policy of a/a 2"] * 5
    assert len(side.asked) == 2


def test_while_it_cannot_be_got_the_old_one_serves_for_an_hour():
    side = Side()
    fetch = side.material().of(A)
    fetch(URL)
    side.failure = Retryable("away")
    for side.now in (600, 1200, 3599):
        assert fetch(URL) == b"policy of a/a 1"
    side.now = 3610
    with pytest.raises(Retryable):
        fetch(URL)
    side.failure = None
    with pytest.raises(Retryable):  # what failed is not asked again at once
        fetch(URL)
    side.now = 3621
    assert fetch(URL) == b"policy of a/a 6"


def test_an_address_that_gives_no_keys_ends_the_old_ones():
    side = Side()
    fetch = side.material().of(A)
    fetch(URL)
    side.now, side.failure = 600, Permanent("gone")
    for _ in range(3):
        with pytest.raises(Permanent):
            fetch(URL)
    assert len(side.asked) == 2


def test_invented_addresses_neither_flood_others_nor_push_out_the_real_keys():
    side = Side()
    material = side.material()
    material.of(A)(URL)
    side.failure = Permanent("no 200")
    for number in range(100):
        with pytest.raises(CrossdockError):
            material.of(A)(f"{URL}/{number}")
    assert len(side.asked) == 10
    assert material.of(A)(URL) == b"policy of a/a 1"
    side.failure = None
    assert material.of(B)(URL) == b"policy of b/b 11"
    side.now = 60
    assert material.of(A)(f"{URL}/x") == b"policy of a/a 12"


def test_a_workspace_keeps_thirty_two():
    side = Side()
    fetch = side.material().of(A)
    for number in range(33):
        side.now += 6
        fetch(f"{URL}/{number}")
    fetch(f"{URL}/32")
    assert len(side.asked) == 33
    side.now += 6
    fetch(f"{URL}/0")
    assert len(side.asked) == 34


def test_many_at_once_ask_once():
    side = Side(gate=threading.Event())
    fetch = side.material().of(A)
    got = []
    threads = [threading.Thread(target=lambda: got.append(fetch(URL))) for _ in range(20)]
    for each in threads:
        each.start()
    side.gate.set()
    for each in threads:
        each.join(5)
    assert got == [b"policy of a/a 1"] * 20


LOOPBACK = AddressPolicy(["127.0.0.0/8"])


def test_only_a_200_within_the_limits_is_key_material():
    with Receiver() as there:
        there.answer = Answer(200, body=b"keys")
        url = there.url + "/jwks"
        asking = Asking()
        assert asking.get(url, LOOPBACK) == b"keys"
        for answer, kind in (
            (Answer(302, {"Location": "/other"}), Permanent),
            (Answer(404), Permanent),
            (Answer(204), Permanent),
            (Answer(503), Retryable),
            (Answer(429), Retryable),
            (Answer(200, body=b"x" * (256 * 1024 + 1)), Permanent),
        ):
            there.answer = answer
            with pytest.raises(kind):
                asking.get(url, LOOPBACK)


def test_a_workspace_reaches_no_further_than_its_address_policy():
    with Receiver() as there:
        there.answer = Answer(200, body=b"keys")
        with pytest.raises(Permanent) as refused:
            Asking().get(there.url, AddressPolicy())
        assert refused.value.code == "ADDRESS_REFUSED"
        assert there.hits == []
