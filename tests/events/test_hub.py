"""The hub looks once for all who listen, and not at all while nobody does."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from server.events.envelope import Event
from server.events.hub import STREAM_SLOW, STREAMS_FULL, Hub, Listener
from server.events.position import Position
from server.events.tail import Page, Told
from server.kernel.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def event(number: int, workspace: int = 1, data: str = "{}") -> Event:
    return Event(
        uid=UUID(int=number),
        workspace_id=workspace,
        id=f"e{number}",
        source="api",
        type="order.created",
        subject=None,
        time=NOW,
        recorded_at=NOW,
        data=data,
        correlation_id="c",
        causation_id=None,
        principal="test",
    )


class Eyes:
    """What the hub looks with: each look finds the next of what is given, or breaks with it."""

    def __init__(self, *found: list[Event] | Exception) -> None:
        self.found = deque(found)
        self.asked: list[tuple[list[int], Position | None]] = []

    def __call__(self, workspaces: Sequence[int], position: Position | None) -> Page:
        self.asked.append((list(workspaces), position))
        number = len(self.asked)
        if position is None:
            return Page([], Position(number), ended=True, rest=Position(number))
        found = self.found.popleft() if self.found else []
        if isinstance(found, Exception):
            raise found
        return Page(
            [Told(each, Position(number)) for each in found], Position(number), ended=True, rest=Position(number)
        )


async def heard(listener: Listener, count: int) -> list[str]:
    ids: list[str] = []
    while len(ids) < count and not listener.over:
        ids += [frame.event.id for frame in await listener.take(2.0)]
    return ids


def test_each_listener_hears_what_its_workspace_has_and_it_wants() -> None:
    async def listen() -> None:
        eyes = Eyes([event(1), event(2, workspace=2)], [event(3)])
        hub = Hub(eyes)
        ours, theirs = Listener(1, lambda _: True), Listener(2, lambda _: True)
        picky = Listener(1, lambda each: each.id == "e3")
        await asyncio.gather(*(hub.join(each) for each in (ours, theirs, picky)))
        assert await heard(ours, 2) == ["e1", "e3"]
        assert await heard(theirs, 1) == ["e2"]
        assert await heard(picky, 1) == ["e3"]
        assert eyes.asked[1][0] == [1, 2]

    asyncio.run(listen())


def test_nobody_listens_and_nobody_looks() -> None:
    async def listen() -> int:
        eyes = Eyes()
        hub = Hub(eyes)
        listener = Listener(1, lambda _: True)
        assert (await hub.join(listener)) == Position(1)
        hub.leave(listener)
        await asyncio.sleep(0.4)
        looks = len(eyes.asked)
        await asyncio.sleep(0.3)
        assert hub.rest is None
        assert looks == len(eyes.asked) <= 3
        await hub.join(Listener(1, lambda _: True))
        return len(eyes.asked)

    assert asyncio.run(listen()) > 1


def test_whoever_reads_too_slowly_gets_what_waits_and_no_more() -> None:
    async def listen() -> None:
        eyes = Eyes([event(number, data='"' + "x" * 400 + '"') for number in range(1, 9)])
        hub = Hub(eyes)
        slow, quick = Listener(1, lambda _: True, most_bytes=2000), Listener(1, lambda _: True)
        await asyncio.gather(hub.join(slow), hub.join(quick))
        assert len(await heard(quick, 8)) == 8
        assert slow.over
        assert slow.why is not None
        assert slow.why.code == STREAM_SLOW
        got = [frame.event.id for frame in await slow.take(1.0)]
        assert got == [f"e{number}" for number in range(1, len(got) + 1)]
        assert 0 < len(got) < 8
        assert not slow.goes_on

    asyncio.run(listen())


def test_while_the_database_is_away_they_wait_and_then_hear_all() -> None:
    async def listen() -> None:
        eyes = Eyes(Unavailable("away"), [event(1)])
        hub = Hub(eyes)
        listener = Listener(1, lambda _: True)
        await hub.join(listener)
        assert await heard(listener, 1) == ["e1"]

    asyncio.run(listen())


@pytest.mark.parametrize("error", [Conflict("restored"), RuntimeError("a fault of ours")])
def test_what_breaks_the_look_ends_all_and_the_next_begins_anew(error: Exception) -> None:
    async def listen() -> None:
        hub = Hub(Eyes(error))
        listener = Listener(1, lambda _: True)
        await hub.join(listener)
        assert await heard(listener, 1) == []
        assert listener.why is not None
        again = Listener(1, lambda _: True)
        assert await asyncio.wait_for(hub.join(again), 5)

    asyncio.run(listen())


def test_places_are_bounded_and_given_back() -> None:
    hub = Hub(Eyes(), most=3, most_of_workspace=2)
    with hub.place(1), hub.place(1):
        with pytest.raises(Unavailable) as full, hub.place(1):
            pass
        assert (full.value.code, full.value.after) == (STREAMS_FULL, 5.0)
        with hub.place(2), pytest.raises(Unavailable), hub.place(3):
            pass
        assert hub.open == 2
    assert hub.open == 0
