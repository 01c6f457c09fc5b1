"""`requests` for plugins, on connections that we dial: an ordinary session that cannot be led astray."""

from __future__ import annotations

import time
import zlib
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Protocol

import requests
import requests.adapters
import requests.exceptions
import urllib3
import urllib3.connection
import urllib3.exceptions

from server.transport.failures import (
    answer_broken,
    answer_too_large,
    proxy_failed,
    request_refused,
    timed_out,
    tls_failed,
)
from server.transport.headers import vet_header, vet_method
from server.transport.limits import PLUGIN_LIMITS, Limits
from server.transport.names import Resolver, shared_resolver
from server.transport.proxy import AUTHENTICATION_REQUIRED
from server.transport.sockets import BoundedSocket, Exchange, Guard
from server.transport.tls import client_tls
from server.transport.urls import Target, vet_url

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Mapping

    from server.kernel.errors import CrossdockError
    from server.transport.addresses import AddressPolicy

_CHUNK = 64 * 1024
_FIRST_FINAL = 200
_INSTANT = 0.001
_UNAUTHORIZED = 401
_ENCODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class Identified(Protocol):
    """Who we are to one origin; no other gets to see it."""

    @property
    def origin(self) -> str:
        """The origin, as `vet_url` tells it."""
        ...

    @property
    def tls(self) -> ssl.SSLContext | None:
        """With our client certificate, where there is one."""
        ...

    def headers(self) -> Mapping[str, str]:
        """Return the headers that show who we are; may block."""
        ...

    def renewed(self, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        """Return other headers after a 401 for these, or None when there are none."""
        ...

    def signed(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """Return the headers that this one sending of a request shows beside them."""
        ...

    def challenged(self, challenge: str) -> bool:
        """Take the `WWW-Authenticate` of a 401; say whether the request, signed anew, may pass."""
        ...


class Connections:
    """Pooled connections under one policy, for many threads; each call takes a light session of its own.

    Sessions follow no redirects, keep no cookies, ask no proxy or netrc of the environment, verify every certificate
    and read every answer whole before they hand it out. Their failures are kernel errors (see `failures`), never
    those of requests.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        limits: Limits = PLUGIN_LIMITS,
        *,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits
        self._guard = Guard(policy, resolver or shared_resolver())
        self._adapter = _GuardedAdapter(self._guard, limits, tls or client_tls())
        self._certified: tuple[ssl.SSLContext, _GuardedAdapter] | None = None

    def session(
        self, seconds: float | None = None, identified: Identified | None = None, *, each: float | None = None
    ) -> requests.Session:
        """Return a session whose requests end within `seconds` from now, all together, and within `each`, `limits.total` at most.

        A request's own `timeout=` can shorten its time, not lengthen it. Requests to the origin of `identified` show
        who we are, over a request's own headers, and are repeated once after a 401 when that can help.
        """
        adapter = self._adapter
        if identified is not None and identified.tls is not None:
            adapter = self._with(identified.tls)
        return _GuardedSession(self._adapter, seconds, identified, adapter, each)

    def _with(self, tls: ssl.SSLContext) -> _GuardedAdapter:
        """Return connections that show a client certificate; those of an older certificate close when they end."""
        certified = self._certified
        if certified is None or certified[0] is not tls:
            certified = self._certified = (tls, _GuardedAdapter(self._guard, self._limits, tls))
        return certified[1]

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.shut()
        if self._certified is not None:
            self._certified[1].shut()


def guarded_session(
    policy: AddressPolicy,
    limits: Limits = PLUGIN_LIMITS,
    *,
    resolver: Resolver | None = None,
    tls: ssl.SSLContext | None = None,
) -> requests.Session:
    """Return one session with connections of its own, closed with it."""
    connections = Connections(policy, limits, resolver=resolver, tls=tls)
    session = connections.session()
    session.close = connections.close  # type: ignore[method-assign]
    return session


class _GuardedSession(requests.Session):
    def __init__(
        self,
        adapter: _GuardedAdapter,
        seconds: float | None,
        identified: Identified | None = None,
        certified: _GuardedAdapter | None = None,
        each: float | None = None,
    ) -> None:
        super().__init__()
        self._identified = identified
        self._each = each
        self._until = None if seconds is None else time.monotonic() + seconds
        self.trust_env = False
        self.headers["Accept-Encoding"] = "identity"
        self.headers["User-Agent"] = "crossdock"
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.adapters.clear()
        self.mount("https://", adapter)
        self.mount("http://", adapter)
        self._certified = certified or adapter

    def get_adapter(self, url: str) -> Any:
        """Show a client certificate to its origin only."""
        if self._identified is not None and vet_url(url).origin == self._identified.origin:
            return self._certified
        return super().get_adapter(url)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        known = self._identified
        if known is None or vet_url(request.url or "").origin != known.origin:
            return self._send(request, options)
        shown = known.headers()
        answer = self._show(request, shown, options)
        if answer.status_code != _UNAUTHORIZED or not isinstance(request.body, str | bytes | None):
            return answer
        if known.challenged(answer.headers.get("WWW-Authenticate", "")):
            return self._show(request, shown, options)
        renewed = known.renewed(shown)
        return answer if renewed is None else self._show(request, renewed, options)

    def _show(
        self, request: requests.PreparedRequest, shown: Mapping[str, str], options: dict[str, Any]
    ) -> requests.Response:
        """Send a request with what shows who we are; a body that cannot be repeated is signed as an empty one."""
        body = request.body.encode() if isinstance(request.body, str) else request.body
        request.headers.update(shown)
        if self._identified is not None:
            whole = body if isinstance(body, bytes) else b""
            request.headers.update(self._identified.signed(request.method or "", request.url or "", whole))
        return self._send(request, options)

    def _send(self, request: requests.PreparedRequest, options: dict[str, Any]) -> requests.Response:
        ends = [] if self._each is None else [self._each]
        if self._until is not None:
            ends.append(max(self._until - time.monotonic(), _INSTANT))
        if ends:
            options = {**options, "timeout": min(_shortest(options.get("timeout"), min(ends)), *ends)}
        return super().send(request, **options)

    def request(self, method: str, url: str, *args: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        """Vet the URL as it was written, before the library tidies it."""
        target = vet_url(url)
        try:
            return super().request(method, target.url, *args, **options)
        except requests.exceptions.RequestException as error:
            raise request_refused(str(error)) from error

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - the library's signature
        """Follow none: a redirect is an answer."""
        return None


class _GuardedAdapter(requests.adapters.HTTPAdapter):
    def __init__(self, guard: Guard, limits: Limits, tls: ssl.SSLContext) -> None:
        self._guard = guard
        self._limits = limits
        self._tls = tls
        super().__init__(max_retries=urllib3.Retry(0, read=False))

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **_options: Any) -> None:  # noqa: FBT001, FBT002 - the library's signature
        manager = urllib3.PoolManager(num_pools=connections, maxsize=maxsize, block=block)
        guard, tls = self._guard, self._tls

        def plain(*args: Any, **options: Any) -> urllib3.HTTPConnectionPool:
            pool = urllib3.HTTPConnectionPool(*args, **options)
            pool.ConnectionCls = _Plain
            pool.conn_kw["guard"] = guard
            return pool

        def secure(*args: Any, **options: Any) -> urllib3.HTTPSConnectionPool:
            pool = urllib3.HTTPSConnectionPool(*args, **options)
            pool.ConnectionCls = _Secure
            pool.conn_kw.update(guard=guard, ssl_context=tls)
            return pool

        manager.pool_classes_by_scheme = {"http": plain, "https": secure}  # type: ignore[dict-item]
        self.poolmanager = manager

    def close(self) -> None:
        """Keep the connections: sessions come and go, the pool is closed by `Connections`."""

    def shut(self) -> None:
        super().close()

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave certificates to the one TLS context."""

    def send(self, request: requests.PreparedRequest, *_args: Any, **options: Any) -> requests.Response:
        """Send a request and read its answer whole.

        Raises:
            Retryable, Permanent: see `failures`.

        """
        target = vet_url(request.url or "")
        _vet_request(request)
        seconds = min(_shortest(options.get("timeout"), self._limits.total), self._limits.total)
        exchange = Exchange(target, self._limits, seconds)
        with self._guard.during(exchange):
            try:
                response = super().send(request, stream=True)
                _read(response, self._limits.body)
            except requests.exceptions.RequestException as error:
                raise _failure(error, target, self._limits) from error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise answer_broken(type(error).__name__) from error
        if response.status_code == AUTHENTICATION_REQUIRED and self._guard.proxy and target.scheme == "http":
            raise proxy_failed("it wants other credentials")
        return response


class _Plain(urllib3.connection.HTTPConnection):
    def __init__(self, *args: Any, guard: Guard, **options: Any) -> None:
        super().__init__(*args, **options)
        self._guard = guard

    def _new_conn(self) -> socket.socket:
        return self._guard.dial(self._dns_host, self.port)

    def connect(self) -> None:
        super().connect()
        self.sock = BoundedSocket(self.sock, self._guard)

    def putrequest(self, method: str, url: str, *args: Any, **options: Any) -> None:
        """Tell a proxy the whole address."""
        proxy = self._guard.proxy
        if proxy is None:
            return super().putrequest(method, url, *args, **options)
        super().putrequest(method, f"http://{self._guard.exchange.target.authority}{url}", *args, **options)
        if proxy.authorization:
            self.putheader("Proxy-Authorization", proxy.authorization)
        return None


class _Secure(urllib3.connection.HTTPSConnection):
    def __init__(self, *args: Any, guard: Guard, **options: Any) -> None:
        super().__init__(*args, **options)
        self._guard = guard

    def _new_conn(self) -> socket.socket:
        connection = self._guard.dial(self._dns_host, self.port)
        connection.settimeout(self._guard.exchange.remaining("tls", self._guard.exchange.limits.tls))
        return connection

    def connect(self) -> None:
        try:
            super().connect()
        except TimeoutError as error:  # dialling has its own: this is the handshake
            raise timed_out("tls", self._guard.exchange.limits.tls) from error
        self.sock = BoundedSocket(self.sock, self._guard)


def _shortest(timeout: Any, default: float) -> float:
    parts = timeout if isinstance(timeout, tuple) else (timeout,)
    figures = [float(part) for part in parts if isinstance(part, int | float) and part > 0]
    return sum(figures) or default


def _vet_request(request: requests.PreparedRequest) -> None:
    vet_method(request.method or "")
    for name, value in request.headers.items():
        vet_header(_text(name), _text(value))
    if "Transfer-Encoding" in request.headers and "Content-Length" in request.headers:
        raise request_refused("it names a length and a transfer encoding")


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _read(response: requests.Response, limit: int) -> None:
    """Read the body into the response, at most `limit` bytes on the wire and decoded."""
    if response.status_code < _FIRST_FINAL:
        raise answer_broken(f"it ended with the interim status {response.status_code}")
    parts, size = [], 0
    while chunk := response.raw.read(_CHUNK, decode_content=False):
        size += len(chunk)
        if size > limit:
            response.raw.close()
            raise answer_too_large(limit)
        parts.append(chunk)
    response.raw.release_conn()
    response._content = _decoded(b"".join(parts), response.headers, limit)  # noqa: SLF001 - no public way to set it
    response._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001 - as above


def _decoded(body: bytes, headers: Any, limit: int) -> bytes:
    """Undo a compression that we did not ask for, within the limit."""
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in {"", "identity"} or not body:
        return body
    if encoding not in _ENCODINGS:
        raise answer_broken("it came in a content encoding that was not asked for")
    inflater = zlib.decompressobj(_ENCODINGS[encoding])
    try:
        plain = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise answer_broken(f"its {encoding} is damaged") from error
    if len(plain) > limit:
        raise answer_too_large(limit)
    if not inflater.eof:
        raise answer_broken(f"its {encoding} is cut short")
    return plain


def _failure(error: requests.exceptions.RequestException, target: Target, limits: Limits) -> CrossdockError:
    """Turn what requests raises after the connection was asked for into the one table."""
    if isinstance(error, requests.exceptions.SSLError):
        return tls_failed(target.host, _innermost(error))
    if isinstance(error, requests.exceptions.Timeout):
        return timed_out("connect", limits.connect)
    if isinstance(error, requests.exceptions.InvalidHeader):
        return answer_broken("a header of it is invalid")
    return answer_broken(_innermost(error))


def _innermost(error: BaseException) -> str:
    """Return the cause without the addresses and objects that the libraries print into their messages."""
    seen = error
    while True:
        deeper = next((each for each in (*reversed(seen.args), seen.__cause__) if isinstance(each, Exception)), None)
        deeper = deeper or getattr(seen, "reason", None)
        if not isinstance(deeper, Exception) or deeper is seen:
            break
        seen = deeper
    return getattr(seen, "verify_message", None) or getattr(seen, "strerror", None) or type(seen).__name__
