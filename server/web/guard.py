"""What happens around every view: ids, refusals, who asks and whether they may, the key, headers, one log line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog
from flask import current_app, request
from werkzeug.exceptions import RequestURITooLarge

from server.kernel.errors import CrossdockError, Malformed, TooMany, Unauthenticated, code
from server.web import bodies, idempotency, sessions
from server.web.current import begin, current, frame
from server.web.current import known as of_request
from server.web.frame import Served
from server.web.permissions import KNOWN, PUBLIC, declaration
from server.web.surplus import refuse_surplus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Flask, Response

    from server.web.current import Current
    from server.web.principals import Principal

AUTH_FAILURES = code(
    "AUTH_FAILURES", "Too many wrong tokens came from this address; `Retry-After` says when to try again."
)
_LONGEST_URL = 8192
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What every answer says to browsers."""
REQUEST_ID, CORRELATION_ID = "X-Request-ID", "X-Correlation-ID"
_LOWER = [(name.lower(), value) for name, value in HEADERS.items()]
_log = structlog.get_logger("crossdock.request")


def install(app: Flask) -> None:
    """Put the guard around every view of an application."""
    app.before_request(_begin)
    app.before_request(_refuse)
    app.before_request(_admit)
    app.after_request(_finish)


def _begin() -> None:
    now = begin()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=now.request_id, correlation_id=now.correlation_id)


def _refuse() -> None:
    """Refuse what no view should have to look at."""
    if len(request.path) + len(request.query_string) > _LONGEST_URL:
        raise RequestURITooLarge
    if "\x00" in request.path or b"%00" in request.query_string or b"\x00" in request.query_string:
        raise Malformed("U+0000 is not taken in a URL", source="web")
    bodies.check_length()


def _admit() -> Response | None:
    """Authenticate, check the permission that the view declares, and claim the idempotency key."""
    if request.endpoint is None:  # 404 or 405: Flask answers next
        return None
    declared = declaration(current_app, request.endpoint, request.method)
    if declared is None:
        raise CrossdockError(f"{request.endpoint} declares no permission", source="web")
    if declared == PUBLIC:
        return None
    who = authenticated()
    structlog.contextvars.bind_contextvars(organization=who.organization, workspace=who.workspace, principal=who.id)
    if declared != KNOWN:
        who.must(declared)
    view = current_app.view_functions[request.endpoint]
    refuse_surplus(view)
    return idempotency.claim(view)


def authenticated() -> Principal:
    """Find out who asks, and keep it in the request's record.

    Raises:
        Unauthenticated: the same answer for every cause.
        TooMany: AUTH_FAILURES, over 20 wrong tokens in a minute from this address.

    """
    read = sessions.reader()
    credential = read() if read else bearer()
    who = frame().authenticate(credential)
    if who is None:
        wait = frame().failures.failed(request.remote_addr or "") if credential is not None else None
        if wait is not None:
            raise TooMany("too many wrong tokens from this address", code=AUTH_FAILURES, source="access", after=wait)
        raise Unauthenticated("no valid token was presented", source="access")
    current().principal = who
    return who


def bearer() -> str | None:
    """Return the token of `Authorization: Bearer TOKEN`; an empty text for any other Authorization; None without."""
    return token_of(request.headers.get("Authorization"))


def token_of(given: str | None) -> str | None:
    """Return the same of the header's value."""
    if given is None:
        return None
    scheme, _, token = given.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _finish(response: Response) -> Response:
    now = of_request()
    if now is None:
        return response
    idempotency.settle(response)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers[REQUEST_ID] = now.request_id
    response.headers[CORRELATION_ID] = now.correlation_id
    rule = request.url_rule.rule if request.url_rule else ""
    report(now, request.method, rule, response.status_code, frame().observers)
    structlog.contextvars.clear_contextvars()
    return response


def headers_of(request_id: str, correlation_id: str = "") -> list[tuple[str, str]]:
    """Return what every answer has, names in lower case: for those that are made outside of the application."""
    found = [*_LOWER, (REQUEST_ID.lower(), request_id)]
    return [*found, (CORRELATION_ID.lower(), correlation_id)] if correlation_id else found


def report(
    now: Current, method: str, route: str, status: int, observers: Sequence[Callable[[Served], None]], **about: str
) -> None:
    """Write the line of a request that was answered and tell its observers; `about` is what is not bound around it."""
    seconds = time.perf_counter() - now.started
    _log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 2), **about)
    served = Served(method, route, status, seconds, str(now.principal.scope) if now.principal else "")
    for observe in observers:
        observe(served)
