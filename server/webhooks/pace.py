"""When the delivery engine looks for work: at once while there is more, every few milliseconds while events come, else when it is rung.

A worker that looks by itself says so, and nobody rings for it; before it sleeps it takes that back and looks once more, and again when
nobody can still go by what it said.
Endpoints that hang or refuse are remembered: until one answers again, no more than one request to it is under way. So are those that
answer late, but these get less only while a worker has little room left; it then takes for late whatever is out for as long.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from server.queue.hints import TRUSTED_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

POLL_SECONDS = 0.01
AWAKE_SECONDS = 0.25
TIMER_SECONDS = 2.0
_ROUND_SECONDS = 0.005
LISTEN_SECONDS = 2 * TRUSTED_SECONDS
_SAY_SECONDS = 1.0  # it is good for three
LATE_SECONDS = 2.0
_SLOW_LANES = 1000


class Watch(Protocol):
    """Whom to tell whether this worker looks for work by itself. May block for a command; never raises."""

    def awake(self) -> None:
        """Say that nobody needs to ring."""
        ...

    def asleep(self) -> None:
        """Say that somebody must."""
        ...


class Unwatched:
    """Tells nobody: hints come as they come."""

    def awake(self) -> None:
        """Say nothing."""

    def asleep(self) -> None:
        """Say nothing."""


class Pace:
    """Waits between looks for work; lives on the engine's loop.

    `turned` is called each time when it awakes, before anybody may be spared a hint, and when it has gone to sleep: whoever else in
    this process is woken by those hints then has to look by itself.
    """

    def __init__(self, watch: Watch, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._watch = watch
        self._monotonic = monotonic
        self._wake = asyncio.Event()
        self._awake_until = 0.0
        self._said_at: float | None = None
        self._believed_until: float | None = (
            None  # until then publishers may take us to be awake; a look after it is owed
        )
        self._telling: asyncio.Task[None] | None = None
        self.turned: Callable[[], None] = _unheard

    @property
    def awake(self) -> bool:
        """Tell whether events have come lately."""
        return self._monotonic() < self._awake_until

    def ring(self) -> None:
        """Look now: somebody has work, or there is room again."""
        self._wake.set()

    def busy(self) -> None:
        """Look again soon: there was work."""
        now = self._monotonic()
        self._awake_until = now + AWAKE_SECONDS
        self._believed_until = None  # we look for longer than that
        if self._said_at is None:
            self.turned()
        due = self._said_at is None or now - self._said_at >= _SAY_SECONDS
        if due and (self._telling is None or self._telling.done()):
            self._said_at = now
            self._telling = asyncio.create_task(asyncio.to_thread(self._watch.awake))

    async def rest(self) -> None:
        """Wait until it is worth looking again."""
        if not self.awake and self._said_at is not None:
            self._said_at = None
            await asyncio.to_thread(self._watch.asleep)
            self._wake.clear()
            self._believed_until = self._monotonic() + LISTEN_SECONDS
            self.turned()
            return  # once more: a hint may have been spared while we were awake
        if self._believed_until is not None and not self.awake:
            await self.room(max(0.0, self._believed_until - self._monotonic()))
            if self._believed_until is not None and self._monotonic() >= self._believed_until:
                self._believed_until = None
            self.turned()
            return  # for the last that may have been spared: this look begins when nobody believes us awake
        await self.room(POLL_SECONDS if self.awake else TIMER_SECONDS)

    async def keeps_up(self) -> bool:
        """Tell whether the loop gets round quickly. If not, what is claimed now would only wait here, before all that comes later."""
        began = self._monotonic()
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # one whole round: the first may come at its end
        return self._monotonic() - began < _ROUND_SECONDS

    async def room(self, seconds: float) -> None:
        """Wait until it is rung, so that a claim is worth its round trip; no longer than `seconds`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        self._wake.clear()


def _unheard() -> None:
    """Wake nobody."""


class SlowLanes:
    """The endpoints that hung, could not be reached, or answered late when they were last tried; the 1,000 latest."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[UUID, bool] = OrderedDict()  # whether it answers

    def learn(self, lane: UUID, *, answered: bool, milliseconds: float) -> None:
        """Remember how the last try of a lane went."""
        if answered and milliseconds < LATE_SECONDS * 1000:
            self._lanes.pop(lane, None)
            return
        self._lanes[lane] = answered
        self._lanes.move_to_end(lane)
        if len(self._lanes) > _SLOW_LANES:
            self._lanes.popitem(last=False)

    def __call__(self, *, crowded: bool) -> list[UUID]:
        """Return those of which one request at a time is enough; those that answer only where room is short."""
        return [lane for lane, answers in self._lanes.items() if crowded or not answers]
