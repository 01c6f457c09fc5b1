"""A login that gives a session: what is sent, and which part of the answer is shown from then on.

Its token is shared, renewed and asked for once, as those of OAuth 2.0 are; only the request differs.
"""

from __future__ import annotations

import json
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson

from server.integrations.token_requests import LIMITS, TOKEN_REFUSED, unavailable
from server.kernel.errors import Retryable
from server.kernel.policies import parse_duration
from server.sdk.answers import failure_of
from server.transport.sync import guarded_session

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    import requests

    from server.kernel.clock import Clock
    from server.transport.addresses import AddressPolicy

DEFAULT_LIFETIME = "10m"
_LONGEST = 16 * 1024


class SessionRequest:
    """How a session is opened, by a declaration with its secrets filled in."""

    def __init__(
        self, auth: Mapping[str, Any], clock: Clock, addresses: Callable[[], AddressPolicy], tls: ssl.SSLContext | None
    ) -> None:
        self._auth = auth
        self._clock = clock
        self._addresses = addresses
        self._tls = tls

    def ask(self) -> tuple[str, float]:
        """Log in once; return the token, or the cookie as `NAME=VALUE`, and for how many seconds it is taken to be good.

        Raises:
            Postponed: TOKEN_UNAVAILABLE.
            Retryable: TOKEN_REFUSED.
            Permanent: the URL or its address must not be reached.

        """
        auth, headers = self._auth, {"Accept": "application/json"}
        if auth.get("body_as", "json") == "form":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode({name: str(value) for name, value in auth.get("body", {}).items()}).encode()
        else:
            headers["Content-Type"] = "application/json"
            body = orjson.dumps(auth.get("body", {}), default=str)
        session = guarded_session(self._addresses(), LIMITS, tls=self._tls)
        try:
            answer = session.post(auth["login_url"], data=body, headers=headers)
        except Retryable as error:
            raise unavailable(f"no session: {error.message}", error.code, error.after) from error
        finally:
            session.close()
        return self._read(answer), parse_duration(auth.get("lifetime", DEFAULT_LIFETIME))

    def _read(self, answer: requests.Response) -> str:
        failure = failure_of(answer.status_code, answer.headers, self._clock.now(), source="auth")
        if isinstance(failure, Retryable):
            raise unavailable(f"no session: {failure.message}", failure.code, failure.after)
        if failure is not None:
            raise _refused(f"the login was answered {answer.status_code}", answer.status_code)
        found = self._cookie(answer) if "cookie_name" in self._auth else self._token(answer)
        if not found or len(found) > _LONGEST or not found.isascii() or not found.isprintable() or " " in found:
            raise _refused("the login's answer holds no token that can be shown", answer.status_code)
        return found

    def _token(self, answer: requests.Response) -> str | None:
        try:
            said = json.loads(answer.content)
        except (ValueError, RecursionError):
            return None
        for name in self._auth["token_path"].split("."):
            said = said.get(name) if isinstance(said, dict) else None
        return said if isinstance(said, str) else None

    def _cookie(self, answer: requests.Response) -> str | None:
        """Return the named cookie of the answer; of several with the name the last one counts."""
        wanted, found = self._auth["cookie_name"], None
        for line in answer.raw.headers.getlist("Set-Cookie"):
            jar: SimpleCookie = SimpleCookie()
            try:
                jar.load(line)
            except CookieError:
                continue
            if wanted in jar:
                found = f"{wanted}={jar[wanted].coded_value}"
        return found


def _refused(message: str, status: int) -> Retryable:
    return Retryable(message, code=TOKEN_REFUSED, source="auth", status=status)
