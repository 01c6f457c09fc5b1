"""Requests to inbound webhooks: the list, and one with what came, what it became, and the button that maps it once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template

from server.dashboard import queries
from server.dashboard.listing import PAGE, argument, back, before, identity, turns
from server.kernel.errors import NotFound
from server.kernel.ids import show
from server.store.values import write_json
from server.web import current
from server.web.permissions import requires
from server.webhooks.inbound import listing, reopening
from server.webhooks.inbound.schemas import STATES

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

    from server.queue.dead_letters import Reopen
    from server.store import Store

_LISTING = "inbound-requests"


def add(pages: Blueprint, store: Store, reopen: Reopen) -> None:
    """Add the pages."""

    @pages.get("/inbound-requests")
    @requires("deliveries:read")
    def inbound_requests() -> str:
        filters = {"webhook": argument("webhook"), "state": argument("state")}
        with store.begin(current.scope(), current.cause()) as tx:
            rows = listing.requests(
                tx, before=before(_LISTING), limit=PAGE + 1, webhook=filters["webhook"], state=filters["state"]
            )
            names = queries.names(tx)
        return render_template(
            "dashboard/requests.html",
            requests=[listing.shown(row) for row in rows[:PAGE]],
            **turns(rows, _LISTING),
            filters=filters,
            names=names,
            states=STATES,
        )

    @pages.get("/inbound-requests/<request_id>")
    @requires("deliveries:read")
    def inbound_request(request_id: str) -> str:
        key = identity("req", request_id)
        with store.begin(current.scope(), current.cause()) as tx:
            row = listing.request(tx, key)
            if row is None:
                raise NotFound("there is no such request here", source="dashboard")
            letter = queries.letter_of(tx, key)
        shown = listing.shown_whole(row)
        return render_template(
            "dashboard/request.html",
            request_=shown,
            body=shown["body"] if shown["body"] is not None else shown["body_base64"],
            details=write_json(row.error["details"]) if row.error else None,
            letter_id=show("dead", letter.id) if letter else None,
        )

    @pages.post("/inbound-requests/<request_id>/retry")
    @requires("deliveries:retry")
    def retry_request(request_id: str) -> Response:
        with store.begin(current.scope(), current.cause()) as tx:
            reopening.retry(tx, reopen, identity("req", request_id))
        return back("inbound_request", "retried", request_id=request_id)
