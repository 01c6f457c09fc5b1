"""Health, metrics and KPIs over HTTP."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Response

from server.operations import kpis, metrics, schemas
from server.telemetry.metrics import CONTENT_TYPE
from server.web import current, guard
from server.web.answers import answer
from server.web.permissions import public, requires
from server.web.problems import MEDIA_TYPE
from server.web.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from server.operations.health import Health, Report
    from server.store import Store
    from server.telemetry.metrics import Sample

_PROBLEM = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
_REFUSED = {
    "401": {"description": "The token that was presented is not valid.", **_PROBLEM},
    "403": {"description": "The token lacks `health:read`.", **_PROBLEM},
}
_TEXT = {
    "200": {"description": "Prometheus text format 0.0.4", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
_UNWELL = {
    "503": {
        "description": "At least one check fails.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/HealthReport"}}},
    }
}


@dataclass(frozen=True, slots=True)
class Operations:
    """What this room needs. `metrics_token`, when set, shows /metrics of all workspaces: for the instance's Prometheus."""

    store: Store
    health: Health
    backlog: Callable[[], Sequence[Sample]]
    metrics_token: str = ""


def blueprint(operations: Operations) -> Room:
    """Make the room."""
    room = Room("operations", description="Health, metrics and key figures.")
    _health(room, operations.health)
    _figures(room, operations)
    return room


def _health(room: Room, health: Health) -> None:
    @room.route("/health")
    @public
    @room.response(200, schemas.HealthReportSchema, description="healthy or degraded")
    @room.doc(responses=_REFUSED | _UNWELL, security=[{}, {"bearer": []}])
    def show_health() -> Response:
        """Ask every part in parallel, within seconds.

        Anybody sees the parts of the instance and counts of integrations; with a token (`health:read`) the integrations of its
        workspace are named. 503 when any check fails. For load balancers `/health/ready` is the one to ask.
        """
        if guard.bearer() is None:
            return _report(health.instance())
        who = guard.authenticated()
        who.must("health:read")
        return _report(health.workspace(who.workspace_id))

    @room.route("/health/live")
    @public
    @room.response(200, schemas.HealthReportSchema)
    def show_live() -> Response:
        """Say that this process answers, whatever the rest does."""
        return _report(health.live())

    @room.route("/health/ready")
    @public
    @room.response(200, schemas.HealthReportSchema, description="ready")
    @room.doc(responses=_UNWELL)
    def show_ready() -> Response:
        """Say whether this process can take requests: the database is there, with the schema of this version."""
        return _report(health.ready())


def _figures(room: Room, operations: Operations) -> None:
    @room.route("/metrics")
    @public
    @room.response(200)
    @room.doc(responses=_REFUSED | _TEXT, security=[{"bearer": []}])
    def show_metrics() -> Response:
        """Show the metrics for Prometheus: needs a token, `authorization: {credentials: TOKEN}` in its scrape configuration.

        A workspace's token with `health:read` sees the series of its workspace, the instance's metrics token all of them.
        """
        given = guard.bearer() or ""
        if operations.metrics_token and hmac.compare_digest(given.encode(), operations.metrics_token.encode()):
            return Response(metrics.render(operations.backlog), content_type=CONTENT_TYPE)
        who = guard.authenticated()
        who.must("health:read")
        return Response(metrics.render(operations.backlog, str(who.scope)), content_type=CONTENT_TYPE)

    @room.route("/api/v1/metrics")
    @requires("health:read")
    @room.response(200, schemas.KpisSchema)
    def show_kpis() -> Any:
        """Show the key figures of the workspace."""
        with operations.store.begin(current.scope(), current.cause()) as tx:
            return kpis.read(tx)


def _report(report: Report) -> Response:
    unwell = report.status == "unhealthy"
    return answer(None, report.as_dict(), HTTPStatus.SERVICE_UNAVAILABLE if unwell else HTTPStatus.OK)
