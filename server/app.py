"""The HTTP application: one frame around the rooms that bootstrap hands in. It starts only when every route says who may."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import orjson
from flask import Flask, Response

from server import bootstrap
from server.dashboard import blueprint as dashboard
from server.telemetry import traces
from server.web import bodies, guard, openapi, pages, problems
from server.web.answers import OrjsonProvider
from server.web.permissions import public, refuse_undeclared
from server.web.room import Room
from server.web.routes import Route

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from server.config import Settings
    from server.web.frame import Frame


class Crossdock(Flask):
    """A Flask application whose routes are made at once and their addresses' builders when one is asked for."""

    url_rule_class = Route


def create_app(services: Frame) -> Flask:
    """Build the application from its services; the same for the server, the tests and the local command line.

    Raises:
        CrossdockError: ROUTE_UNDECLARED, a view says neither @requires nor @public.

    """
    app = Crossdock("crossdock", static_folder=None)
    app.json = OrjsonProvider(app)
    app.extensions["crossdock"] = services
    app.extensions["crossdock-directs"] = services.directs
    app.extensions["crossdock-doors"] = services.doors
    app.config["MAX_CONTENT_LENGTH"] = bodies.most_read(services.settings)
    # No redirects to a path with or without a slash: their Location would repeat the caller's Host.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    problems.register(app)
    guard.install(app)
    api = openapi.rooms(app, version("crossdock"))
    for room in services.blueprints:
        if isinstance(room, Room):
            api.register_blueprint(room)
        else:
            app.register_blueprint(room)
    _document(app, api)
    refuse_undeclared(app)
    app.wsgi_app = _traced(app.wsgi_app)  # type: ignore[method-assign, assignment]  # Flask's own way to wrap it
    return app


def _traced(wsgi: WSGIApplication) -> WSGIApplication:
    """Measure each request as a span, below the caller's where it sent one."""

    def measured(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        parent = traces.read_traceparent({"traceparent": environ.get("HTTP_TRACEPARENT", "")})
        method, path = environ.get("REQUEST_METHOD", ""), environ.get("PATH_INFO", "")
        with traces.span(f"HTTP {method}", parent, **{"http.request.method": method, "url.path": path}):
            return wsgi(environ, start_response)

    return measured


def from_settings(settings: Settings) -> Flask:
    """Build the application of an API process: what the server calls in each of them."""
    services = bootstrap.api(settings)
    return create_app(replace(services, blueprints=[*services.blueprints, dashboard.of_core(services.core)]))


def _document(app: Flask, api: openapi.Rooms) -> None:
    """Serve the OpenAPI document and the pages made from it. It is made when first asked for: most processes never are."""
    lock = threading.Lock()

    @cache
    def made() -> tuple[dict[str, Any], bytes]:
        document = openapi.document(app, api)
        return document, orjson.dumps(document)

    def document() -> tuple[dict[str, Any], bytes]:
        with lock:
            return made()

    @app.get("/openapi.json")
    @public
    def openapi_document() -> Response:
        return Response(document()[1], content_type="application/json")

    @app.get("/docs")
    @public
    def api_reference() -> Response:
        return pages.reference(document()[0])

    @app.get("/docs/errors")
    @public
    def error_codes() -> Response:
        return pages.error_codes()
