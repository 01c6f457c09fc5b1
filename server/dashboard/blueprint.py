"""The pages as one blueprint: who is asked, what protects every form, how errors look, and which headers go out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException

from server.access.keyring import KeyRing
from server.bootstrap import BRANCHES
from server.dashboard import (
    conflicts,
    deliveries,
    events,
    flows,
    letters,
    overview,
    replays,
    requests,
    shown,
    signing_in,
    syncs,
    webhooks,
)
from server.dashboard.listing import SAID
from server.dashboard.sessions import FIELD, FORM_COOKIE, Sessions, check_form
from server.kernel.errors import CrossdockError, NotFound, Unauthenticated
from server.web import current, problems
from server.web.permissions import public
from server.web.sessions import signed_in_by

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from werkzeug.wrappers import Response as BaseResponse

    from server.bootstrap import Core
    from server.events.tree import Branch
    from server.kernel.clock import Clock
    from server.queue.dead_letters import Reopen
    from server.store import Store
    from server.webhooks.owners import Owners
    from server.webhooks.usecases import Reopening

NAME = "dashboard"
_FOLDER = Path(__file__).parent
_ASSETS = {"dashboard.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_READING = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Dashboard:
    """What the pages need: the API's store, and the same use cases that the API has."""

    store: Store
    ring: KeyRing
    clock: Clock
    reopening: Reopening
    reopens: Mapping[str, Reopen]
    owners: Owners
    branches: Sequence[Branch] = ()


def of_core(core: Core) -> Blueprint:
    """Make the pages from what bootstrap built."""
    ring = KeyRing.read(core.settings.keys)
    return blueprint(Dashboard(core.tenant, ring, core.clock, core.reopening, core.reopens, core.owners, BRANCHES))


def blueprint(dashboard: Dashboard) -> Blueprint:
    """Make the pages: `/` is the overview."""
    pages = Blueprint(NAME, __name__, template_folder="templates")
    sessions = Sessions(dashboard.ring, dashboard.clock)
    signed_in_by(pages, sessions.token)
    pages.before_request(partial(_protect, sessions))
    pages.after_request(_finish)
    _errors(pages, sessions)
    _assets(pages)
    shown.install(pages)
    pages.context_processor(partial(_context, sessions, dashboard.clock))
    signing_in.add(pages, sessions)
    overview.add(pages, dashboard.store)
    events.add(pages, dashboard.store, dashboard.branches)
    deliveries.add(pages, dashboard.store, dashboard.reopening)
    requests.add(pages, dashboard.store, dashboard.reopens["inbound"])
    letters.add(pages, dashboard.store, dict(dashboard.reopens), dashboard.owners)
    webhooks.add(pages, dashboard.store)
    syncs.add(pages, dashboard.store, dashboard.reopening.hint, dashboard.reopens)
    conflicts.add(pages, dashboard.store, dashboard.reopening.hint)
    flows.add(pages, dashboard.store, dashboard.clock, dashboard.reopening.hint)
    replays.add(pages, dashboard.store, dashboard.reopening.hint)
    return pages


def _protect(sessions: Sessions) -> None:
    """Take no form that our own page did not make, whatever view it is for."""
    if request.method in _READING:
        return
    session = sessions.current()
    signing_in_now = request.endpoint == f"{NAME}.sign_in"
    check_form(request.cookies.get(FORM_COOKIE) if signing_in_now else session.csrf if session else None)


def _context(sessions: Sessions, clock: Clock) -> dict[str, Any]:
    """Give every template who is signed in, the secret of its forms, and the time."""
    now = current.known()
    who = now.principal if now else None
    session = sessions.current()
    return {
        "principal": who,
        "may": who.permissions if who else frozenset(),
        "form_field": FIELD,
        "form_secret": session.csrf if session else "",
        "now": clock.now(),
        "request_id": now.request_id if now else "",
    }


def _finish(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", _POLICY)
    # Without any referrer browsers would call the origin of our own forms `null`.
    response.headers.setdefault("Referrer-Policy", "same-origin")
    return response


def _errors(pages: Blueprint, sessions: Sessions) -> None:
    """Show errors as pages; nobody signed in is sent to the door."""

    @pages.errorhandler(CrossdockError)
    def of_ours(error: CrossdockError) -> BaseResponse:
        if isinstance(error, Unauthenticated):
            return _to_the_door(sessions)
        return _error(problems.of_crossdock(error), error.code, error.message)

    @pages.errorhandler(HTTPException)
    def of_http(error: HTTPException) -> Response:
        response = problems.of_http(error)
        return _error(response, f"HTTP {response.status_code}", error.description or "")

    @pages.errorhandler(Exception)  # the border: whatever comes, a person gets a page, and the log has it
    def of_unexpected(error: Exception) -> Response:
        return _error(problems.of_unexpected(error), "INTERNAL", "Something broke inside; the log has it.")


def _to_the_door(sessions: Sessions) -> BaseResponse:
    """Send to the sign-in, and back here after it."""
    reading = request.method in _READING
    if reading and sessions.current() is None and request.headers.get("Sec-Fetch-Site") == "cross-site":
        # Who follows a link from another site brings no strict cookie along; the same page asked by itself does.
        return Response(render_template("dashboard/again.html", path=_here()))
    response = redirect(url_for(f"{NAME}.door", next=_here() if reading else None), 303)
    sessions.end(response)
    return response


def _here() -> str:
    return request.full_path.rstrip("?")


def _came_from() -> str:
    """Return the page of ours that the reader comes from, without what it said was done, or nothing."""
    address = (request.referrer or "").partition("://")[2]
    path = address.removeprefix(request.host)
    if path == address:
        return ""
    page, _, query = path.partition("?")
    kept = urlencode([(name, value) for name, value in parse_qsl(query) if name not in SAID])
    found = signing_in.local(f"{page}?{kept}" if kept else page)
    return "" if found == _here() else found


def _error(problem: Response, code: str, message: str) -> Response:
    page = render_template(
        "dashboard/error.html", status=problem.status_code, code=code, message=message, came_from=_came_from()
    )
    response = Response(page, problem.status_code)
    for name in ("Retry-After", "Allow"):
        if name in problem.headers:
            response.headers[name] = problem.headers[name]
    return response


def _assets(pages: Blueprint) -> None:
    """Serve the style and the icon: read once, under a name that changes with their content, kept by browsers."""
    contents = {name: (_FOLDER / "assets" / name).read_bytes() for name in _ASSETS}
    versions = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in contents.items()}

    @pages.get("/assets/<version>/<name>")
    @public
    def asset(version: str, name: str) -> Response:
        if versions.get(name) != version:
            raise NotFound("no such asset", source="dashboard")
        response = Response(contents[name], content_type=_ASSETS[name])
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response

    def asset_url(name: str) -> str:
        return url_for(f"{NAME}.asset", version=versions[name], name=name)

    pages.context_processor(_constant({"asset_url": asset_url}))


def _constant(values: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    return lambda: values
