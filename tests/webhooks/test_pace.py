"""Whoever is woken by hints learns when there are none: before a worker says that nobody needs to ring, and once somebody must."""

from __future__ import annotations

import asyncio

from server.webhooks.pace import AWAKE_SECONDS, Pace


class Said:
    """Takes down what is said, and in which order."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def awake(self) -> None:
        self.words.append("awake")

    def asleep(self) -> None:
        self.words.append("asleep")


def test_others_are_told_before_hints_are_spared_and_after_they_come_again() -> None:
    said, now = Said(), [100.0]
    pace = Pace(said, lambda: now[0])
    pace.turned = lambda: said.words.append("turned, awake" if pace.awake else "turned")

    async def work() -> None:
        pace.busy()
        await asyncio.sleep(0.05)  # it is said in a thread
        pace.busy()
        now[0] += AWAKE_SECONDS
        await pace.rest()

    asyncio.run(work())
    assert said.words == ["turned, awake", "awake", "asleep", "turned"]
