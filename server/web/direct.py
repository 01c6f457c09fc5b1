"""What is served on the event loop itself, without a thread: receiving at a high rate, and streams that stay open.

Such a handler speaks RSGI, as the server in front does: `scope` and `protocol` are granian's (its docs/spec/RSGI.md). It must not
block: what waits for a database does so in a thread of its own, for many requests at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import asyncio


class Read(Protocol):
    """Reads the body of one request, within the server's deadline."""

    async def __call__(self, limit: int) -> bytes:
        """Return the whole body; `limit` is in bytes.

        Raises:
            TooLarge: it is, or says that it is, larger than the limit; nothing more is read then.
            Unavailable: the bodies under way take all the memory that they may.
            BodyTimeout: it did not come in time.

        """
        ...


class Direct(Protocol):
    """A handler of all paths that begin with `prefix`."""

    @property
    def prefix(self) -> str:
        """Return the beginning of its paths, like `/in/`."""
        ...

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin, inside the process that serves: threads and connections are made here, not before it forks."""
        ...

    async def serve(self, scope: Any, protocol: Any, read: Read) -> None:
        """Answer one request, or hold one websocket (`scope.proto == "ws"`) until it ends.

        A CrossdockError that leaves it is answered as problem+json, if nothing was answered before; a websocket is closed.
        """
        ...


class Plain(NamedTuple):
    """An answer: status, headers with names in lower case, body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Door(Protocol):
    """A quicker way to one view of the application: it answers the plain requests, and hands over whatever is not plain.

    So each rule stays in one place: what a door does not know it never has to refuse. Both ways give the same answers.
    """

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin, inside the process that serves."""
        ...

    def takes(self, scope: Any) -> bool:
        """Say whether a request is one of this door, by its method and path."""
        ...

    async def answer(self, scope: Any, body: bytes) -> Plain | None:
        """Answer a request whose body was read, or return None, with nothing done: the application answers it then."""
        ...
