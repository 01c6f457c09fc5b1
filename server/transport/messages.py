"""A request and its answer as the asynchronous sender takes and gives them, and the request's head in bytes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from server.transport.headers import vet_headers, vet_method
from server.transport.limits import USUAL_SECONDS

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence

    from server.transport.proxy import Proxy
    from server.transport.urls import Target

KEPT = 4096
_WITHOUT_LENGTH = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE"})


@dataclass(slots=True, eq=False)
class Request:
    """One request; not to be changed once made. `timeout` is the total in seconds; header values are plain ASCII.

    `tls` holds the client certificate of the caller, where the receiver wants one; it must verify as `client_tls` does.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    timeout: float = USUAL_SECONDS
    tls: ssl.SSLContext | None = field(default=None, repr=False)


class Headers(Mapping[str, str]):
    """An answer's headers, found in any case; what came twice is joined by a comma. Decoded only when asked for."""

    __slots__ = ("_known", "_pairs")

    def __init__(self, pairs: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._pairs = pairs
        self._known: dict[str, tuple[str, str]] | None = None

    def _read(self) -> dict[str, tuple[str, str]]:
        if self._known is None:
            self._known = {}
            for raw, value in self._pairs:
                name, text = raw.decode("latin-1"), value.decode("utf-8", "replace")
                before = self._known.get(name.lower())
                self._known[name.lower()] = (name, text) if before is None else (before[0], f"{before[1]}, {text}")
        return self._known

    def __getitem__(self, name: str) -> str:
        return self._read()[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._read().values())

    def __len__(self) -> int:
        return len(self._read())


class Answer(NamedTuple):
    """What came back. `body` is the first 4 KiB as they came; `timings` are milliseconds from the start:

    `connect` (the connection stood, names and TLS included; 0 when it was reused), `first_byte`, `total`, and `dns`
    where a name was looked up. `address` is the one that was dialled, the proxy's where one is in between.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    timings: dict[str, float]
    address: str


class Message(NamedTuple):
    """What a connection is given to send: by when (`until`, the loop's time) all must be over, and how long that was."""

    head: bytes
    body: bytes
    until: float
    seconds: float
    without_body: bool  # the answer's, since it is one to HEAD


class Heads:
    """Builds the heads of requests. What repeats is built once: the request line per URL, the defaults per shape."""

    def __init__(self, user_agent: str) -> None:
        self._defaults = (
            ("user-agent", f"User-Agent: {user_agent}"),
            ("accept", "Accept: */*"),
            ("accept-encoding", "Accept-Encoding: identity"),
        )
        self._first = functools.lru_cache(maxsize=16_384)(self._first_lines)
        self._shape = functools.lru_cache(maxsize=512)(self._missing)

    def build(self, request: Request, target: Target, proxy: Proxy | None) -> bytes:
        """Return the request's head with its empty line; a proxy is told the whole address of a plain request.

        Raises:
            Permanent: REQUEST_REFUSED for a method or header that could split, smuggle or re-route the request.

        """
        headers = request.headers
        values = "".join(headers.values())
        if not (values.isascii() and values.isprintable()):  # that is: nothing but 0x20-0x7e
            vet_headers(headers)
        lines = [self._first(request.method, target, proxy) + self._shape(tuple(headers))]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        body = request.body
        if body or request.method not in _WITHOUT_LENGTH:
            lines.append(f"Content-Length: {len(body)}")
        lines.append("\r\n")
        return "\r\n".join(lines).encode("ascii")

    def _first_lines(self, method: str, target: Target, proxy: Proxy | None) -> str:
        vet_method(method)
        if proxy is not None and target.scheme == "http":
            return f"{method} {target.url} HTTP/1.1\r\nHost: {target.authority}{proxy.line}"
        return f"{method} {target.path} HTTP/1.1\r\nHost: {target.authority}"

    def _missing(self, names: tuple[str, ...]) -> str:
        """Vet the names and return the lines that these headers leave to us; no answer is ever decoded."""
        vet_headers(dict.fromkeys(names, ""))
        given = {name.lower() for name in names}
        return "".join(f"\r\n{line}" for name, line in self._defaults if name not in given)
