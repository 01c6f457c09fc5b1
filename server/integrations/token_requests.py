"""One token request of OAuth 2.0: what is sent, and what the answer means.

what comes of it                          what happens
token                                     kept until shortly before its end
the server cannot be reached, 5xx, 429    Postponed TOKEN_UNAVAILABLE: nothing was sent to the receiver, no attempt is counted
it refuses us, or its answer has none     Retryable TOKEN_REFUSED: an attempt is counted, so that people see it

Sources: RFC 6749 (client credentials, errors), RFC 7523 (assertions), RFC 8705 (the certificate at the token endpoint).
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

from server.integrations.assertions import Assertions
from server.kernel.errors import Postponed, Retryable, code
from server.sdk.answers import failure_of
from server.transport.limits import KIB, Limits
from server.transport.sync import guarded_session

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    import requests

    from server.integrations.token_rows import RefreshRow
    from server.kernel.clock import Clock
    from server.transport.addresses import AddressPolicy

TOKEN_UNAVAILABLE = code(
    "TOKEN_UNAVAILABLE", "The server that issues tokens cannot be reached or fails; no attempt is counted meanwhile."
)
TOKEN_REFUSED = code(
    "TOKEN_REFUSED", "The server that issues tokens refuses our credentials, or its answer holds no token."
)
LIMITS = Limits(total=10.0, connect=5.0, body=64 * KIB)
UNSAID = 300.0  # seconds, where the answer does not say how long the token is good
_LONGEST_TOKEN = 16 * KIB
_TOKEN = re.compile(r"[\x21-\x7e]+")
_ERROR = re.compile(r"[a-z_]{1,40}")
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class TokenRequest:
    """How a token is asked for, by a declaration with its secrets filled in.

    Raises:
        Invalid: AUTH_KEY_INVALID.

    """

    def __init__(
        self,
        auth: Mapping[str, Any],
        clock: Clock,
        addresses: Callable[[], AddressPolicy],
        tls: ssl.SSLContext | None,
        refresh: RefreshRow | None = None,
    ) -> None:
        """`refresh` keeps the token that the server gave last, for `grant: refresh_token`."""
        self._auth = auth
        self._refresh = refresh
        self._clock = clock
        self._addresses = addresses
        self._tls = tls
        self._assertions = Assertions(auth["jwt"], clock) if "jwt" in auth else None

    def ask(self) -> tuple[str, float]:
        """Ask once; return the token and for how many seconds it is good.

        Raises:
            Postponed: TOKEN_UNAVAILABLE.
            Retryable: TOKEN_REFUSED.
            Permanent: the URL or its address must not be reached.

        """
        form, headers = self._form(), {"Accept": "application/json"}
        secret = self._auth.get("client_secret")
        if secret is not None and self._auth.get("client_auth", "basic") == "body":
            form |= {"client_id": self._auth["client_id"], "client_secret": secret}
        elif secret is not None:
            pair = f"{quote_plus(self._auth['client_id'])}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        session = guarded_session(self._addresses(), LIMITS, tls=self._tls)
        try:
            answer = session.post(self._auth["token_url"], data=urlencode(form), headers=headers)
        except Retryable as error:
            raise unavailable(f"no token: {error.message}", error.code, error.after) from error
        finally:
            session.close()
        return self._read(answer)

    def _form(self) -> dict[str, str]:
        auth, made = self._auth, self._assertions
        client_id, url = auth.get("client_id"), auth["token_url"]
        form = {name: str(value) for name, value in auth.get("params", {}).items()}
        form |= {name: auth[name] for name in ("scope", "audience") if name in auth}
        if auth.get("grant") == "jwt-bearer" and made is not None:
            return form | {"grant_type": _GRANT, "assertion": made.for_grant(client_id, url)}
        form["grant_type"] = auth.get("grant", "client_credentials")
        if self._refresh is not None:
            form["refresh_token"] = self._refresh.read() or auth["refresh_token"]
        if made is not None:
            form |= {"client_id": str(client_id), "client_assertion_type": _ASSERTION}
            form["client_assertion"] = made.for_client(str(client_id), url)
        return form

    def _read(self, answer: requests.Response) -> tuple[str, float]:
        failure = failure_of(answer.status_code, answer.headers, self._clock.now(), source="auth")
        if isinstance(failure, Retryable):
            raise unavailable(f"no token: {failure.message}", failure.code, failure.after)
        try:
            said = json.loads(answer.content)
        except (ValueError, RecursionError):
            said = None
        said = said if isinstance(said, dict) else {}
        if failure is not None:
            name = said.get("error")
            word = f" {name}" if isinstance(name, str) and _ERROR.fullmatch(name) else ""
            raise _refused(f"the token server answered {answer.status_code}{word}", answer.status_code)
        token, kind = said.get("access_token"), said.get("token_type", "Bearer")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token) or len(token) > _LONGEST_TOKEN:
            raise _refused("the token server's answer holds no token that can be sent", answer.status_code)
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise _refused("the token server gave a token that is no bearer token", answer.status_code)
        if self._refresh is not None:
            self._rotate(said.get("refresh_token"))
        return token, _seconds(said.get("expires_in"))

    def _rotate(self, given: Any) -> None:
        """Keep a new refresh token: the one that was shown may be good no more."""
        if (
            self._refresh is not None
            and isinstance(given, str)
            and _TOKEN.fullmatch(given)
            and len(given) <= _LONGEST_TOKEN
        ):
            self._refresh.keep(given)


def _seconds(value: Any) -> float:
    """Read `expires_in`, a number or a text that is one; nonsense is not said at all."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return UNSAID
    return seconds if 0 < seconds < 10**8 else UNSAID


def unavailable(message: str, cause: str, after: float | None) -> Postponed:
    return Postponed(message, code=TOKEN_UNAVAILABLE, source="auth", after=after, cause=cause)


def _refused(message: str, status: int) -> Retryable:
    return Retryable(message, code=TOKEN_REFUSED, source="auth", status=status)
