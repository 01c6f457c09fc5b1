"""Who is signed in: the token, encrypted with the key ring into a cookie that no script and no other site can use.

Nothing is stored: the cookie ends with its time, with the token, or with the key that it was written with. `csrf` is the secret
that every form of the session carries.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import orjson
from flask import g, request

from server.kernel.errors import CrossdockError, Forbidden, code

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

    from server.access.keyring import KeyRing
    from server.kernel.clock import Clock

FORM_REFUSED = code(
    "FORM_REFUSED", "The form came from another site, or from a page that is too old: open the page again and repeat."
)
COOKIE = "crossdock_session"
FORM_COOKIE = "crossdock_form"
FIELD = "form"
HOURS = 12
_PLACE = "dashboard|session"
_LONGEST = 2000
_SAME_SITE = ("same-origin", "none")


@dataclass(frozen=True, slots=True)
class Session:
    """A token, the secret of its forms, and the second since 1970 when it ends."""

    token: str
    csrf: str
    until: int


class Sessions:
    """Reads and writes the cookie of the request at hand."""

    def __init__(self, ring: KeyRing, clock: Clock) -> None:
        self._ring = ring
        self._clock = clock

    def current(self) -> Session | None:
        """Return the session of this request; None without one, or when it has ended."""
        if "crossdock_page_session" not in g:
            g.crossdock_page_session = self._read(request.cookies.get(COOKIE, ""))
        found: Session | None = g.crossdock_page_session
        return found

    def token(self) -> str | None:
        """Return what the guard authenticates."""
        session = self.current()
        return session.token if session else None

    def begin(self, response: Response, token: str) -> None:
        """Sign in: set the cookie."""
        until = int(self._clock.now().timestamp()) + HOURS * 3600
        session = Session(token, secrets.token_urlsafe(24), until)
        key, sealed = self._ring.encrypt(orjson.dumps(asdict(session)), _PLACE)
        _set(response, COOKIE, f"{key}.{urlsafe_b64encode(sealed).decode()}", HOURS * 3600)

    def end(self, response: Response) -> None:
        """Sign out: take the cookie away."""
        response.delete_cookie(COOKIE, secure=_secure(), httponly=True, samesite="Strict")

    def _read(self, cookie: str) -> Session | None:
        key, _, encoded = cookie.rpartition(".")
        if not key or len(cookie) > _LONGEST:
            return None
        try:
            content = orjson.loads(self._ring.decrypt(key, urlsafe_b64decode(encoded), _PLACE))
        except (CrossdockError, ValueError):  # of another ring, tampered with, or no cookie of ours at all
            return None
        session = Session(content["token"], content["csrf"], content["until"])
        return session if session.until > self._clock.now().timestamp() else None


def form_secret(response: Response) -> str:
    """Give a form that nobody is signed in for (the sign-in) a secret of its own, for this browser."""
    secret = request.cookies.get(FORM_COOKIE, "")
    if not secret or len(secret) > _LONGEST:
        secret = secrets.token_urlsafe(24)
    _set(response, FORM_COOKIE, secret, 3600)
    return secret


def check_form(expected: str | None) -> None:
    """Insist that a form is ours and was sent from our own page.

    Raises:
        Forbidden: FORM_REFUSED.

    """
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    foreign = origin is not None and origin.partition("://")[2] != request.host
    given = request.form.get(FIELD, "")
    if site not in _SAME_SITE or foreign or not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise Forbidden("open the page again, and repeat what you did", code=FORM_REFUSED, source="dashboard")


def _set(response: Response, name: str, value: str, seconds: int) -> None:
    response.set_cookie(name, value, max_age=seconds, secure=_secure(), httponly=True, samesite="Strict")


def _secure() -> bool:
    """Over TLS, ours or that of a proxy in front, the cookie never travels without it."""
    return request.is_secure or request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"
