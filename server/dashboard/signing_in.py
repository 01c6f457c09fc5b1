"""In and out: a token is shown once, in a form, and lives on encrypted in a cookie."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Blueprint, make_response, redirect, render_template, request, url_for

from server.dashboard.sessions import form_secret
from server.kernel.errors import TooMany
from server.web.current import frame
from server.web.guard import AUTH_FAILURES
from server.web.permissions import known, public

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

    from server.dashboard.sessions import Sessions

_LONGEST = 200
_LONGEST_PATH = 2000


def add(pages: Blueprint, sessions: Sessions) -> None:
    """Add the pages."""

    @pages.get("/sign-in")
    @public
    def door() -> Response:
        return _door(200)

    @pages.post("/sign-in")
    @public
    def sign_in() -> Response:
        token = request.form.get("token", "").strip()
        who = frame().authenticate(token) if 0 < len(token) <= _LONGEST else None
        if who is None:
            wait = frame().failures.failed(request.remote_addr or "")
            if wait is not None:
                raise TooMany(
                    "too many wrong tokens from this address", code=AUTH_FAILURES, source="access", after=wait
                )
            return _door(401, wrong=True)
        response = redirect(local(request.form.get("next", "")) or url_for("dashboard.overview"), 303)
        sessions.begin(response, token)
        return response

    @pages.post("/sign-out")
    @known
    def sign_out() -> Response:
        response = redirect(url_for("dashboard.door"), 303)
        sessions.end(response)
        response.headers["Clear-Site-Data"] = '"cache"'
        return response


def _door(status: int, *, wrong: bool = False) -> Response:
    target = local(request.values.get("next", ""))
    response = make_response()
    secret = form_secret(response)
    page = render_template("dashboard/sign_in.html", next=target, wrong=wrong, door_secret=secret)
    response.set_data(page)
    response.status_code = status
    return response


def local(path: str) -> str:
    """Return a path of ours, or nothing: never a way to another site."""
    if (
        not path.startswith("/")
        or path.startswith(("//", "/\\"))
        or len(path) > _LONGEST_PATH
        or not path.isprintable()
    ):
        return ""
    parts = urlsplit(path)
    return "" if parts.scheme or parts.netloc or parts.path.startswith("/sign-") else path
