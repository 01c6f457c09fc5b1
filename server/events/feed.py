"""What one listener gets, in order: what their position awaits, read page by page; then what the hub tells."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from server.events import tail
from server.events.catalogue import Catalogue
from server.events.hub import MOST_OF_WORKSPACE, Frame, Hub, Listener
from server.events.position import Position
from server.kernel.errors import Rejected, TooMany, Unauthenticated, Unavailable
from server.kernel.ids import new_uuid, show
from server.store import Cause
from server.store.engine import DATABASE_AWAY
from server.web.guard import AUTH_FAILURES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
    from datetime import datetime

    from server.kernel.errors import Failure
    from server.store import Scope, Store
    from server.web.principals import Authenticate, Failures, Principal

    T = TypeVar("T")

PAGE = 500
THREADS = 4
BEAT_SECONDS = 15.0
"""How often an open stream shows that it lives, and whether its token still does is looked up."""
JOIN_SECONDS = 10.0
PERMISSION = "events:read"


class Batch(NamedTuple):
    """Frames that come together, and the id to go on from after them, also when there are none.

    `beat`: it is time to show that the stream lives.
    """

    frames: list[Frame]
    id: str
    beat: bool = False


class Caller(NamedTuple):
    """Who listens, and the token that they presented."""

    principal: Principal
    credential: str | None


class Feeds:
    """What all streams of a process share: who may listen, how the past is read, and the hub."""

    def __init__(
        self,
        engine: Store,
        tenant: Store,
        authenticate: Authenticate,
        failures: Failures,
        *,
        beat_seconds: float = BEAT_SECONDS,
        most_of_workspace: int = MOST_OF_WORKSPACE,
    ) -> None:
        self._engine = engine
        self._tenant = tenant
        self._authenticate = authenticate
        self._failures = failures
        self._catalogue = Catalogue()
        self.beat_seconds = beat_seconds
        self.hub = Hub(self._look, most_of_workspace=most_of_workspace)
        self._pool: ThreadPoolExecutor | None = None

    async def caller(self, credential: str | None, address: str) -> Caller:
        """Return who presents a token and may read events; `address` is where they are.

        Raises:
            Unauthenticated: the same answer for every cause.
            TooMany: AUTH_FAILURES.
            Forbidden: their role may not.

        """
        return Caller(await self._in_thread(lambda: self._admit(credential, address)), credential)

    async def start(self, scope: Scope, since: datetime) -> Position:
        """Return the position of who wants what was recorded since a time, and all that comes."""

        def read() -> Position:
            with self._tenant.begin(scope, _cause()) as tx:
                return tail.here(tx.conn, scope.workspace_id, since)

        return await self._in_thread(read)

    async def newest(self, scope: Scope, frames: list[Frame]) -> list[Frame]:
        """Return frames with their events as the newest versions of their types have them."""
        if all(frame.event.schema_version is None for frame in frames):
            return frames

        def lift() -> list[Frame]:
            with self._tenant.begin(scope, _cause()) as tx:
                return [Frame.lifted(frame, self._catalogue.newest(tx, frame.event)) for frame in frames]

        return await self._in_thread(lift)

    async def follow(self, caller: Caller, listener: Listener, position: Position | None) -> AsyncGenerator[Batch]:
        """Yield what a position awaits (None: only what comes), and then what comes, until the listener is over.

        Every so often the token is looked up again: nothing is told to whoever may not listen any more.

        Raises:
            Conflict: POSITION_LOST.
            Unavailable: DATABASE_AWAY.

        """
        due = _time() + self.beat_seconds
        async for batch in self._batches(caller.principal.scope, listener, position):
            if _time() < due:
                yield batch
                continue
            due = _time() + self.beat_seconds
            why = await self._in_thread(lambda: self._refusal(caller))
            if why is not None:
                listener.end(why)
                return
            yield batch._replace(beat=True)

    async def _batches(self, scope: Scope, listener: Listener, position: Position | None) -> AsyncIterator[Batch]:
        if position is not None:
            async for batch in self._past(scope, listener, position, None):
                yield batch
                position = Position.read(batch.id)
        joined = await self._join(listener)
        if position is not None:
            async for batch in self._past(scope, listener, position, joined):
                yield batch
        last = str(joined)
        yield Batch([], last)
        while listener.goes_on:
            frames = await listener.take(self.beat_seconds)
            if frames:
                last = frames[-1].id
            elif self.hub.rest is not None and not listener.over:  # all up to there was told to whom it concerns
                last = str(self.hub.rest)
            yield Batch(frames, last)

    async def _join(self, listener: Listener) -> Position:
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                return await self.hub.join(listener)
        except TimeoutError as error:
            raise Unavailable("the database is away", code=DATABASE_AWAY, after=1) from error

    async def _past(
        self, scope: Scope, listener: Listener, position: Position, until: Position | None
    ) -> AsyncIterator[Batch]:
        while not listener.over:
            here = position

            def read(here: Position = here) -> tuple[tail.Page, list[Frame]]:
                with self._tenant.begin(scope, _cause()) as tx:
                    page = tail.page(tx.conn, [scope.workspace_id], here, PAGE, until)
                return page, [Frame.of(told) for told in page.told if listener.wants(told.event)]

            page, frames = await self._in_thread(read)
            position = page.rest
            yield Batch(frames, str(position))
            if page.ended:
                return

    def _look(self, workspaces: Sequence[int], position: Position | None) -> tail.Page:
        """Read on for the hub: over all workspaces, each event goes to listeners of its own workspace only."""
        with self._engine.connect() as conn:
            if position is None:
                now = tail.snapshot(conn)
                return tail.Page([], now, ended=True, rest=now)
            return tail.page(conn, workspaces, position, PAGE)

    def _admit(self, credential: str | None, address: str) -> Principal:
        who = self._authenticate(credential)
        if who is None:
            wait = self._failures.failed(address) if credential is not None else None
            if wait is not None:
                raise TooMany(
                    "too many wrong tokens from this address", code=AUTH_FAILURES, source="access", after=wait
                )
            raise Unauthenticated("no valid token was presented", source="access")
        who.must(PERMISSION)
        return who

    def _refusal(self, caller: Caller) -> Failure | None:
        """Return why a token is not worth what it was; None while it is, also while nobody can tell."""
        try:
            who = self._authenticate(caller.credential)
            if who is None or who.workspace_id != caller.principal.workspace_id:
                raise Unauthenticated("the token is valid no more", source="access")
            who.must(PERMISSION)
        except Unavailable:
            return None
        except Rejected as error:
            return error.failure
        return None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._pool is None:  # made in the process that serves, never before it forks
            self._pool = ThreadPoolExecutor(THREADS, "stream")
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _time() -> float:
    return asyncio.get_running_loop().time()


def _cause() -> Cause:
    return Cause("stream", show("cor", new_uuid()))
