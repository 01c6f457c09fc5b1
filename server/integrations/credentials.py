"""Who we are to another system: from a checked `auth` with its secrets filled in to what each request shows.

One rule for both senders: webhooks with an `auth` of their own, and integrations whose plugin hands its `auth` on.
`ready` never blocks and is there in all but one of thousands of requests; `obtain` and `renewed` may ask for a token.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from server.documents.kinds import json_default
from server.integrations.assertions import AUTH_KEY_INVALID, Assertions
from server.integrations.proofs import DigestProof, HmacProof
from server.integrations.session_requests import SessionRequest
from server.integrations.token_requests import TokenRequest
from server.integrations.token_rows import RefreshRow, TokenRow
from server.integrations.tokens import TokenSource, leeway_of
from server.kernel.errors import Invalid, Retryable, Unavailable
from server.sdk.identity import Identity, identity_of
from server.transport.certificates import tls_with

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from server.access.keyring import KeyRing
    from server.integrations.proofs import Proof
    from server.kernel.clock import Clock
    from server.sdk.adapter import Endpoint
    from server.store import Scope, Store
    from server.transport.addresses import AddressPolicy

    _Asked = tuple[asyncio.AbstractEventLoop, str | None]

_AT_ONCE = 32  # token requests of one process: one hanging server must not keep others waiting
_KEPT = 10_000


class Credentials:
    """What requests to one system show: headers, parameters of the query, and a certificate in the handshake."""

    def __init__(self, identity: Identity, tls: ssl.SSLContext | None = None, secrets: tuple[str, ...] = ()) -> None:
        self._headers = identity.headers
        self._secrets = (*identity.secrets, *secrets)
        self.query = identity.query
        self.tls = tls

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown, the tokens of now among them."""
        return self._secrets

    def ready(self) -> Mapping[str, str] | None:
        """Return the headers, or None when they must be obtained; never blocks."""
        return self._headers

    def obtain(self) -> Mapping[str, str]:
        """Return the headers; may block.

        Raises:
            Postponed: TOKEN_UNAVAILABLE.
            Retryable: TOKEN_REFUSED.
            Permanent: the token's URL or its address must not be reached.
            Unavailable: the database is away.

        """
        return self._headers

    def renewed(self, refused: Mapping[str, str]) -> Mapping[str, str] | None:  # noqa: ARG002 - for those that can
        """Return other headers after a 401 for these, or None when there are none; may block, raises as `obtain`."""
        return None

    def signed(self, method: str, url: str, body: bytes) -> Mapping[str, str]:  # noqa: ARG002 - for those that sign
        """Return the headers of one sending of a request, beside the others."""
        return {}

    def challenged(self, challenge: str) -> bool:  # noqa: ARG002 - for those that answer challenges
        """Take a 401's challenge; say whether the request, signed anew, may pass."""
        return False

    async def soon(self) -> Mapping[str, str]:
        """Do as `obtain` without holding up an event loop; those who ask meanwhile get the same answer."""
        return self._headers

    async def renewed_soon(self, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        """Do as `renewed` without holding up an event loop."""
        return self.renewed(refused)


class Proving(Credentials):
    """A proof that each request needs anew."""

    def __init__(self, proof: Proof, tls: ssl.SSLContext | None, secrets: tuple[str, ...]) -> None:
        super().__init__(Identity(), tls, secrets)
        self._proof = proof

    def signed(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """Sign a request."""
        return self._proof.signed(method, url, body)

    def challenged(self, challenge: str) -> bool:
        """Take a challenge."""
        return self._proof.challenged(challenge)


class SelfIssued(Credentials):
    """A token that we sign ourselves, anew a little before each ends."""

    def __init__(self, auth: Mapping[str, Any], clock: Clock, tls: ssl.SSLContext | None) -> None:
        super().__init__(Identity(), tls, _secrets_of(auth))
        self._assertions = Assertions(auth, clock)
        self._clock = clock
        self._until = 0.0
        self._token = ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The key and the token of now."""
        return (*self._secrets, self._token) if self._token else self._secrets

    def ready(self) -> Mapping[str, str]:
        """Return the token, made now if need be: that takes a millisecond at most."""
        now = self._clock.now().timestamp()
        if now >= self._until:
            lifetime = self._assertions.lifetime
            self._token, self._until = self._assertions.make({}), now + lifetime - leeway_of(lifetime)
        return _bearer(self._token)

    def obtain(self) -> Mapping[str, str]:
        """Return what `ready` returns."""
        return self.ready()

    async def soon(self) -> Mapping[str, str]:
        """Return what `ready` returns."""
        return self.ready()


class Issued(Credentials):
    """A token that a server issues, shared by all processes."""

    def __init__(
        self, auth: Mapping[str, Any], source: TokenSource, tls: ssl.SSLContext | None, threads: ThreadPoolExecutor
    ) -> None:
        super().__init__(Identity(), tls, _secrets_of(auth))
        self._header, self._prefix = _place_of(auth)
        self._source = source
        self._threads = threads
        self._asking: dict[_Asked, asyncio.Future[str | None]] = {}

    @property
    def secrets(self) -> tuple[str, ...]:
        """The client's secrets and the tokens of now."""
        return (*self._secrets, *self._source.known)

    def ready(self) -> Mapping[str, str] | None:
        """Return the token while it is fresh."""
        token = self._source.ready()
        return None if token is None else self._shown(token)

    def obtain(self) -> Mapping[str, str]:
        """Return a fresh token; see `Credentials.obtain`."""
        return self._shown(str(self._source.obtain()))

    def renewed(self, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        """Return another token after a 401: one that somebody got meanwhile, or a new one."""
        token = self._source.obtain(self._token_in(refused))
        return None if token is None else self._shown(token)

    async def soon(self) -> Mapping[str, str]:
        """Return a fresh token."""
        return self._shown(str(await self._ask(None)))

    async def renewed_soon(self, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        """Return another token after a 401."""
        token = await self._ask(self._token_in(refused))
        return None if token is None else self._shown(token)

    def _shown(self, token: str) -> Mapping[str, str]:
        return {self._header: self._prefix + token}

    def _token_in(self, headers: Mapping[str, str]) -> str:
        return headers[self._header].removeprefix(self._prefix)

    async def _ask(self, refused: str | None) -> str | None:
        """Let one thread ask for all who wait on this loop, so that they do not take up the threads of others."""
        asked = (asyncio.get_running_loop(), refused)
        asking = self._asking.get(asked)
        if asking is None:
            asking = asked[0].run_in_executor(self._threads, self._source.obtain, refused)
            self._asking[asked] = asking
            asking.add_done_callback(partial(self._answered, asked))
        return await asyncio.shield(asking)

    def _answered(self, asked: _Asked, done: asyncio.Future[str | None]) -> None:
        self._asking.pop(asked, None)
        if not done.cancelled():
            done.exception()  # seen, also where whoever asked has given up


@dataclass(frozen=True, slots=True)
class AtOrigin:
    """Credentials at the one origin that gets to see them: what the sessions of plugins take."""

    origin: str
    credentials: Credentials = field(repr=False)

    @property
    def tls(self) -> ssl.SSLContext | None:
        """With our client certificate, where there is one."""
        return self.credentials.tls

    def headers(self) -> Mapping[str, str]:
        """Return the headers that show who we are; may block, raises as `Credentials.obtain`, Retryable for Unavailable."""
        ready = self.credentials.ready()
        if ready is not None:
            return ready
        with _as_retryable():
            return self.credentials.obtain()

    def renewed(self, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        """Return other headers after a 401 for these, or None when there are none; see `headers`."""
        with _as_retryable():
            return self.credentials.renewed(refused)

    def signed(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """Return the headers of one sending of a request."""
        return self.credentials.signed(method, url, body)

    def challenged(self, challenge: str) -> bool:
        """Take a 401's challenge; say whether the request, signed anew, may pass."""
        return self.credentials.challenged(challenge)


@contextmanager
def _as_retryable() -> Iterator[None]:
    """A plugin knows what is worth another try, and nothing of our database."""
    try:
        yield
    except Unavailable as error:
        raise Retryable(error.message, code=error.code, source="auth") from error


class Keychain:
    """Makes credentials, and keeps those that hold a token: one per process. `store` is the engine's."""

    def __init__(self, store: Store, ring: KeyRing, clock: Clock, addresses: Callable[[Scope], AddressPolicy]) -> None:
        self._store = store
        self._ring = ring
        self._clock = clock
        self._addresses = addresses
        self._kept: dict[tuple[int, str], Credentials] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="tokens")

    def credentials(self, scope: Scope, auth: Mapping[str, Any]) -> Credentials:
        """Return what a declaration of that workspace shows, its secrets filled in; the same token for the same one.

        Raises:
            Invalid: AUTH_KEY_INVALID.

        """
        marks = self._ring.fingerprints(orjson.dumps(auth, default=json_default, option=orjson.OPT_SORT_KEYS))
        key = (scope.workspace_id, marks[0])
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                found = self._kept[key] = self._make(scope, auth, marks)
                if len(self._kept) > _KEPT:
                    del self._kept[next(iter(self._kept))]
        return found

    def of_endpoint(self, scope: Scope, endpoint: Endpoint | None) -> Credentials | None:
        """Return what an integration's plugin leaves to us to show; None where it says nothing of that.

        Raises:
            Invalid: AUTH_KEY_INVALID.

        """
        auth = endpoint.auth if endpoint is not None else None
        return None if auth is None or auth.get("scheme", "none") == "none" else self.credentials(scope, auth)

    def _make(self, scope: Scope, auth: Mapping[str, Any], marks: Sequence[str]) -> Credentials:
        tls, scheme = _certificate(auth), auth["scheme"]
        if scheme == "jwt":
            return SelfIssued(auth, self._clock, tls)
        if scheme in ("hmac", "digest"):
            proof = HmacProof(auth, self._clock) if scheme == "hmac" else DigestProof(auth)
            return Proving(proof, tls, _secrets_of(auth))
        if scheme not in ("oauth2", "session"):
            return Credentials(identity_of(auth), tls, _secrets_of(auth))
        addresses = partial(self._addresses, scope)
        request: TokenRequest | SessionRequest
        if scheme == "session":
            request = SessionRequest(auth, self._clock, addresses, tls)
        else:
            kept = RefreshRow(self._store, self._ring, scope, marks) if auth.get("grant") == "refresh_token" else None
            request = TokenRequest(auth, self._clock, addresses, tls, kept)
        source = TokenSource(TokenRow(self._store, self._ring, scope, marks[0]), request)
        return Issued(auth, source, tls, self._threads)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)


def _certificate(auth: Mapping[str, Any]) -> ssl.SSLContext | None:
    if "client_certificate" not in auth:
        return None
    try:
        return tls_with(auth["client_certificate"], auth["client_key"])
    except ValueError as error:
        raise Invalid(str(error), code=AUTH_KEY_INVALID, source="auth") from error


def _secrets_of(auth: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the values that are secret by what they are; the declaration's other secrets are known to the caller."""
    held = {**auth, **{f"jwt.{name}": value for name, value in auth.get("jwt", {}).items()}}
    names = ("client_secret", "client_key", "jwt.key", "refresh_token", "key", "password")
    return tuple(held[name] for name in names if name in held)


def _bearer(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _place_of(auth: Mapping[str, Any]) -> tuple[str, str]:
    """Return the header in which a token is shown, and what stands before it there."""
    if "cookie_name" in auth:
        return "Cookie", ""
    header = auth.get("header", "Authorization")
    return header, auth.get("prefix", "Bearer " if header == "Authorization" else "")
