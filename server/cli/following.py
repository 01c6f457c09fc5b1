"""Listening: events as they are stored, over connections that may break. Each goes on after the last id that was had."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from server.cli.failing import Refused
from server.cli.output import note, read_json
from server.kernel.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from server.cli.client import Rest

PATH = "/stream"
_LONGEST_WAIT = 10.0
_REFUSED = 401
_LONGEST_BLOCK = 64 * 1024 * 1024


def follow(rest: Rest, since: str | None = None, **query: str | None) -> Iterator[str]:
    """Yield the JSON text of each event, without end; a connection that breaks is made again.

    Raises:
        Refused: the server does not tell us, from the start or any more.
        Unavailable: it does not answer, and never did.

    """
    last: str | None = None
    pause, failures = 1.0, 0
    while True:
        try:
            for block in blocks(rest.listen(PATH, last, since=None if last else since, **query)):
                failures = 0
                pause = float(block["retry"]) / 1000 if block.get("retry", "").isdigit() else pause
                last = block.get("id", last)
                if block.get("event") == "end":
                    _insist(read_json(block["data"]))
                elif "data" in block:
                    yield block["data"]
        except (Unavailable, Refused) as error:
            if last is None or not error.retryable:
                raise
            failures += 1
            note(f"{error.message}: trying again after the last event")
        time.sleep(min(_LONGEST_WAIT, pause * 2**failures))


def _insist(why: Mapping[str, Any]) -> None:
    """Go on only where the end is no more than a break."""
    if not why["retryable"]:
        raise Refused(_REFUSED, {"code": why["code"], "detail": why["message"], **why})


def blocks(pieces: Iterable[bytes]) -> Iterator[dict[str, str]]:
    """Yield the blocks of server-sent events as their fields; comments are left out, and so is a block that breaks off.

    Raises:
        Unavailable: a block has no end.

    """
    waiting = b""
    for piece in pieces:
        waiting += piece
        *whole, waiting = waiting.split(b"\n\n")
        if len(waiting) > _LONGEST_BLOCK:
            raise Unavailable("the stream sends something without end", source="cli")
        for block in whole:
            lines = (line.partition(": ") for line in block.decode().split("\n") if not line.startswith(":"))
            yield {name: value for name, _, value in lines if name}
