"""What a scheme is: its fields in a definition, how it is made from them, and vectors that prove it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from server.documents.fields import Field
    from server.webhooks.inbound.arrived import Arrived, Reply, Verified


class Fetch(Protocol):
    """Gets key material of the sender's (a key set, a certificate) over the guarded transport; answers are kept a while."""

    def __call__(self, url: str) -> bytes:
        """Return the body of a 200.

        Raises:
            Retryable: not now.
            Permanent: not ever: refused by the address rules, too large.

        """
        ...


class Verify(Protocol):
    """What verifies a request; never an exception for what the sender wrote but the one named."""

    def verify(self, request: Arrived, now: float) -> Verified:
        """Return who sent it; `now` is in seconds since 1970.

        Raises:
            Unauthenticated: SIGNATURE_REFUSED, one answer for every cause; `details.reason` is for our log.

        """
        ...

    def handshake(self, request: Arrived) -> Reply | None:
        """Return the answer to a request that only asks whether we are who we say, None for every other.

        Called before `verify` for methods other than the endpoint's own, after it for the endpoint's.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """A request that somebody else made or published. `source` says where it is from."""

    about: str
    source: str
    declared: Mapping[str, Any]
    keys: Sequence[str]
    request: Mapping[str, Any]
    now: float
    accepted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """A way to verify. `make(declared, keys, fetch)`: `declared` is the checked `verify` of the definition.

    `keys` are the texts of its secrets, all versions that are valid now, the newest first. A scheme that `blocks` (it may
    fetch, or takes milliseconds) is never run on an event loop. `methods` are those its handshakes come with, beside the
    endpoint's own.
    """

    name: str
    about: str
    fields: tuple[Field, ...]
    make: Callable[[Mapping[str, Any], Sequence[str], Fetch], Verify]
    vectors: tuple[Vector, ...] = ()
    blocks: bool = False
    methods: frozenset[str] = field(default_factory=frozenset)
