"""One look into the event store for all who listen in this process. Lives on the event loop; nobody listens, nobody looks.

While somebody does, the hub asks ten times a second what has committed since, in one statement for all their workspaces, and hands
each event to those who want it. Whoever joins does so at the end of a look that began after they came, so that they know exactly
where the hub stood: what lies before is theirs to read, what comes after is told to them.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from server.events.showing import one_line
from server.kernel.errors import INTERNAL, CrossdockError, Failure, Unavailable, code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from server.events.envelope import Event
    from server.events.position import Position
    from server.events.tail import Page, Told

    Look = Callable[[Sequence[int], Position | None], Page]
    """Reads on from a position in workspaces; None: only where that is now. Called in a thread."""

STREAMS_FULL = code("STREAMS_FULL", "As many streams are open as this process or workspace may have; try again later.")
STREAM_SLOW = code("STREAM_SLOW", "The client reads more slowly than events come: go on from the last id that it has.")
LOOK_SECONDS = 0.1
AWAY_SECONDS = 1.0
MOST_BYTES = 1024 * 1024
"""What may wait for one listener."""
MOST_STREAMS = 1000
MOST_OF_WORKSPACE = 250
_BUSY_SECONDS = 5.0
_log = structlog.get_logger("crossdock.events")


@dataclass(slots=True)
class Frame:
    """One event as listeners get it: `id` is where to go on after it."""

    id: str
    event: Event
    body: bytes

    @classmethod
    def of(cls, told: Told) -> Frame:
        """Write an event once for all who listen."""
        return cls(str(told.position), told.event, one_line(told.event))

    @classmethod
    def lifted(cls, frame: Frame, event: Event) -> Frame:
        """Return a frame at the same place with its event as another version has it."""
        return frame if event is frame.event else cls(frame.id, event, one_line(event))


@dataclass(slots=True, eq=False)
class Listener:
    """One who listens: what waits for them. Ends once, for one reason; None: they have gone."""

    workspace_id: int
    wants: Callable[[Event], bool]
    most_bytes: int = MOST_BYTES
    over: bool = False
    why: Failure | None = None
    _waiting: deque[Frame] = field(default_factory=deque)
    _bytes: int = 0
    _some: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def goes_on(self) -> bool:
        """Tell whether there is, or may come, something to send."""
        return not self.over or (self.why is not None and bool(self._waiting))

    def put(self, frame: Frame) -> None:
        """Let a frame wait; too much of it ends the listening after what waits already."""
        if self.over:
            return
        if self._bytes + len(frame.body) > self.most_bytes and self._waiting:
            self.end(Failure(STREAM_SLOW, "the client reads too slowly", "events", retryable=True))
            return
        self._waiting.append(frame)
        self._bytes += len(frame.body)
        self._some.set()

    def end(self, why: Failure | None = None) -> None:
        """End it."""
        if not self.over:
            self.over, self.why = True, why
        self._some.set()

    async def take(self, seconds: float) -> list[Frame]:
        """Return what waits, after at most so many seconds; nothing when none came or it is over."""
        if not self._waiting and not self.over:
            try:
                async with asyncio.timeout(seconds):
                    await self._some.wait()
            except TimeoutError:
                return []
        frames = list(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        self._some.clear()
        return frames


class Hub:
    """See above. `start` is called once, on the loop's thread; all else on the loop."""

    def __init__(self, look: Look, *, most: int = MOST_STREAMS, most_of_workspace: int = MOST_OF_WORKSPACE) -> None:
        self._look = look
        self._most = most
        self._most_of_workspace = most_of_workspace
        self._places: Counter[int] = Counter()
        self._listeners: dict[int, set[Listener]] = {}
        self._joining: list[tuple[Listener, asyncio.Future[Position]]] = []
        self._position: Position | None = None
        self._rest: Position | None = None
        self._task: asyncio.Task[None] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._wake = asyncio.Event()

    @property
    def open(self) -> int:
        """How many streams are open."""
        return self._places.total()

    @property
    def rest(self) -> Position | None:
        """Where those who have heard all may go on; None while the hub does not look.

        The hub itself stands further on, where the last snapshot was taken, but that place may not outlive a crash of the
        database (see `Position.rested`).
        """
        return self._rest

    @contextmanager
    def place(self, workspace_id: int) -> Iterator[None]:
        """Hold one of the places for streams.

        Raises:
            Unavailable: STREAMS_FULL.

        """
        if self.open >= self._most or self._places[workspace_id] >= self._most_of_workspace:
            raise Unavailable("too many streams are open", code=STREAMS_FULL, source="events", after=_BUSY_SECONDS)
        self._places[workspace_id] += 1
        try:
            yield
        finally:
            self._places[workspace_id] -= 1
            self._places += Counter()  # forgets who has none

    async def join(self, listener: Listener) -> Position:
        """Begin to tell a listener, and return the position from which on they are told."""
        joined: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        self._joining.append((listener, joined))
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())
        return await joined

    def leave(self, listener: Listener) -> None:
        """Tell a listener no more."""
        listener.end()
        mine = self._listeners.get(listener.workspace_id, set())
        mine.discard(listener)
        if not mine:
            self._listeners.pop(listener.workspace_id, None)
        self._joining = [each for each in self._joining if each[0] is not listener]

    async def _run(self) -> None:
        """Look until nobody listens."""
        try:
            while self._listeners or self._joining:
                await self._once()
        except CrossdockError as error:
            self._fail(error.failure)
        except Exception:  # noqa: BLE001 - the border of all listeners: none must wait for what does not come
            _log.exception("the stream broke")
            self._fail(Failure(INTERNAL, "the log has it", "events", retryable=True))
        finally:
            self._position = self._rest = None

    async def _found(self, joining: list[tuple[Listener, asyncio.Future[Position]]]) -> tuple[Page, list[Frame]] | None:
        """Look; None while the database is away. Whoever is joining waits on where that was nothing."""
        try:
            return await self._in_thread(sorted(self._listeners))
        except Unavailable:
            self._joining = joining + self._joining
            self._position = self._rest
            await asyncio.sleep(AWAY_SECONDS)
            return None
        except BaseException:  # cancelled, or broken: whoever is joining must not wait for a look that never comes
            self._joining = joining + self._joining
            raise

    async def _once(self) -> None:
        joining, self._joining = self._joining, []
        self._wake.clear()
        found = await self._found(joining)
        if found is None:
            return
        page, frames = found
        for frame in frames:
            for listener in self._listeners.get(frame.event.workspace_id, ()):
                if listener.wants(frame.event):
                    listener.put(frame)
        self._position = page.position
        if page.told:
            self._rest = page.told[-1].position
        if not page.ended:
            self._joining = joining + self._joining
            return
        if joining:
            self._rest = page.position
        for listener, joined in joining:
            if not joined.done():
                self._listeners.setdefault(listener.workspace_id, set()).add(listener)
                joined.set_result(page.position)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _in_thread(self, workspaces: list[int]) -> tuple[Page, list[Frame]]:
        position = self._position

        def look() -> tuple[Page, list[Frame]]:
            page = self._look(workspaces, position)
            return page, [Frame.of(told) for told in page.told]

        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "stream-look")
        return await asyncio.get_running_loop().run_in_executor(self._pool, look)

    def _fail(self, why: Failure) -> None:
        """End all who listen: they come again, and the next look begins anew."""
        for listener in [each for mine in self._listeners.values() for each in mine]:
            listener.end(why)
        for listener, joined in self._joining:
            listener.end(why)
            if not joined.done():
                joined.set_exception(_broken(why))
        self._listeners.clear()
        self._joining.clear()


def _broken(why: Failure) -> Unavailable:
    return Unavailable(why.message, code=why.code, source=why.source, after=AWAY_SECONDS)
