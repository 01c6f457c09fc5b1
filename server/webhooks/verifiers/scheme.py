"""What a scheme is: its fields in a definition, how it is made from them, and vectors that prove it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from server.documents.checking import Checker
    from server.documents.fields import Field
    from server.documents.nodes import MappingNode
    from server.webhooks.inbound.arrived import Arrived, Reply, Verified


class Fetch(Protocol):
    """Gets key material of the sender's (a key set, a certificate) over the guarded transport; answers are kept a while."""

    def __call__(self, url: str, *, anew: bool = False) -> bytes:
        """Return the body of a 200; `anew` asks for a fresh one, which is given once a minute at most.

        Raises:
            Retryable: not now.
            Permanent: not ever: refused by the address rules, too large, no 200.

        """
        ...


class Verify(Protocol):
    """What verifies a request; never an exception for what the sender wrote but the one named."""

    def verify(self, request: Arrived, now: float) -> Verified:
        """Return who sent it; `now` is in seconds since 1970.

        Raises:
            Unauthenticated: SIGNATURE_REFUSED, one answer for every cause; `details.reason` is for our log.
            Unavailable: KEYS_UNAVAILABLE, of a scheme that `blocks`: the sender's keys cannot be got now (503, come again).

        """
        ...

    def handshake(self, request: Arrived) -> Reply | None:
        """Return the answer to a request that only asks whether we are who we say, None for every other.

        Called before `verify` for methods other than the endpoint's own, after it for the endpoint's.

        Raises:
            Unauthenticated: as `verify`.

        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """A request that somebody else made or published. `source` says where it is from.

    `declared` is `verify` without its `scheme` and `key`; other secrets in it stand as their values, as `make` gets them.
    `request` is what `Arrived` is made of, `fetched` what stands at URLs. `proof` are the headers each byte of which counts,
    all where it is None.
    """

    about: str
    source: str
    keys: Sequence[str]
    request: Mapping[str, Any]
    now: float
    declared: Mapping[str, Any] = field(default_factory=dict)
    accepted: bool = True
    fetched: Mapping[str, bytes] = field(default_factory=dict)
    proof: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """A way to verify. `make(declared, keys, fetch)`: `declared` is the checked `verify` of the definition.

    `keys` are the texts of the secrets under `key`, all versions that are valid now, the newest first; any other secret in
    `declared` has been replaced by its newest text. A scheme that `blocks` (it may fetch, or takes milliseconds) is never
    run on an event loop. `methods` are those its handshakes come with, beside the endpoint's own. `one_of` and `rules` are
    as `Object` takes them. `covers_body` says that whoever changes the body has to prove himself anew.
    """

    name: str
    about: str
    fields: tuple[Field, ...]
    make: Callable[[Mapping[str, Any], Sequence[str], Fetch], Verify]
    vectors: tuple[Vector, ...] = ()
    blocks: bool = False
    covers_body: bool = True
    methods: frozenset[str] = frozenset()
    one_of: tuple[tuple[str, ...], ...] = ()
    rules: tuple[Callable[[MappingNode, Checker], None], ...] = ()
