"""One request as it came to an inbound endpoint: raw bytes, before anything believes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A request below `/in/{organization}/{workspace}/`.

    `path` has no slash in front; `query` is as it was sent, without the question mark. Names of `headers` are in lower case;
    a header that came more than once is joined by `, ` and is in `repeated`. `body` is as it came over the wire, and that is
    what signatures are over. `client` is the address of who is connected to us, or, behind a trusted proxy, whom the proxy
    names; `peer_trusted` says that the connection is a trusted proxy's, so that what it adds may be believed. `target` is the
    whole path, `/in/…`; it, `scheme` and `host` make the URL that some senders sign.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    repeated: frozenset[str] = frozenset()
    body: bytes = b""
    client: str = ""
    peer_trusted: bool = False
    host: str = ""
    scheme: str = "http"
    target: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """Who sent a request, as far as the scheme tells.

    `message_id` is the sender's id of the message, empty where there is none. `replay_key` is the same for a request that is
    sent once more unchanged, and for no other: what dedupes where the definition names no key; None where two equal requests
    may both be meant. `claims` is JSON that the proof itself carries (those of a token), for the log.
    """

    message_id: str = ""
    replay_key: str | None = None
    claims: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that a scheme's handshake asks for, in place of storing the request."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
