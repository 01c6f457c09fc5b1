"""Inbound requests without a server: the handler of `/in/…` on an event loop of its own, as the API process runs it."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from server.kernel.errors import TooLarge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.web.direct import Direct


@dataclass(frozen=True, slots=True)
class Answered:
    """What a sender was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Headers:
    """As granian hands them over: names in lower case, a line each."""

    def __init__(self, lines: Sequence[tuple[str, str]]) -> None:
        self.lines = [(name.lower(), value) for name, value in lines]

    def items(self) -> Sequence[tuple[str, str]]:
        return self.lines


@dataclass(slots=True)
class _Protocol:
    answers: list[Answered] = field(default_factory=list)

    def response_bytes(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        self.answers.append(Answered(status, dict(headers), body))


class Receipt:
    """One process's worth of receiving; `close` it."""

    def __init__(self, direct: Direct) -> None:
        self.direct = direct
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.loop.call_soon_threadsafe(direct.start, self.loop)

    def close(self) -> None:
        self.direct.receiver.storer.stop()  # type: ignore[attr-defined]
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()

    def send(
        self,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        method: str = "POST",
        query: str = "",
        client: str = "127.0.0.1:50000",
        scheme: str = "http",
    ) -> Answered:
        """Send one request and wait for its answer."""
        return asyncio.run_coroutine_threadsafe(
            self.sent(path, body, headers, method=method, query=query, client=client, scheme=scheme), self.loop
        ).result(30)

    def send_all(self, requests: Sequence[tuple[str, bytes, Mapping[str, str]]]) -> list[Answered]:
        """Send many at once."""

        async def together() -> list[Answered]:
            return list(await asyncio.gather(*(self.sent(*each) for each in requests)))

        return asyncio.run_coroutine_threadsafe(together(), self.loop).result(60)

    async def sent(
        self,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        method: str = "POST",
        query: str = "",
        client: str = "127.0.0.1:50000",
        scheme: str = "http",
    ) -> Answered:
        """Send one request from the loop."""

        async def read(limit: int) -> bytes:
            if len(body) > limit:
                raise TooLarge("the body is too large", source="web", limit=limit)
            return body

        lines = list(headers.items() if hasattr(headers, "items") else headers)
        scope = SimpleNamespace(
            proto="http",
            method=method,
            path=path,
            query_string=query,
            scheme=scheme,
            client=client,
            headers=_Headers([("host", "crossdock.example"), *lines]),
        )
        protocol = _Protocol()
        await self.direct.serve(scope, protocol, read)
        [answer] = protocol.answers
        return answer
