"""Deliveries: the list, and one with its event, its tries and the button that tries it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, render_template

from server.dashboard import queries
from server.dashboard.listing import PAGE, argument, back, before, filter_id, identity, turns
from server.kernel.errors import NotFound
from server.kernel.ids import show
from server.kernel.lifecycle import HELD_STATES
from server.web import current
from server.web.permissions import requires
from server.webhooks import reading, usecases
from server.webhooks.schemas import STATES

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

    from server.store import Store
    from server.webhooks.usecases import Reopening

_ATTEMPTS = 100


def add(pages: Blueprint, store: Store, reopening: Reopening) -> None:
    """Add the pages."""

    @pages.get("/deliveries")
    @requires("deliveries:read")
    def deliveries() -> str:
        filters = {name: argument(name) for name in ("webhook", "state", "event", "replay", "failed")}
        with store.begin(current.scope(), current.cause()) as tx:
            rows = reading.deliveries(
                tx,
                before=before("deliveries"),
                limit=PAGE + 1,
                webhook=filters["webhook"],
                state=filters["state"],
                event=filters["event"],
                replay=filter_id("rpl", "replay"),
                failed=filters["failed"] is not None,
            )
            names = queries.names(tx)
        return render_template(
            "dashboard/deliveries.html",
            deliveries=[_shown(row) for row in rows[:PAGE]],
            **turns(rows, "deliveries"),
            filters=filters,
            names=names,
            states=STATES,
        )

    @pages.get("/deliveries/<delivery_id>")
    @requires("deliveries:read")
    def delivery(delivery_id: str) -> str:
        key = identity("dlv", delivery_id)
        with store.begin(current.scope(), current.cause()) as tx:
            row = reading.delivery(tx, key)
            if row is None:
                raise NotFound("there is no such delivery here", source="dashboard")
            event = queries.event(tx, row.event_uid)
            tries = reading.attempts(tx, key, after=max(0, row.attempts - _ATTEMPTS), limit=_ATTEMPTS)
            letter = queries.letter_of(tx, key)
        return render_template(
            "dashboard/delivery.html",
            delivery=_shown(row),
            event=event,
            attempts=[reading.show_attempt(each) for each in reversed(tries)],
            letter_id=show("dead", letter.id) if letter else None,
            webhook_held=row.webhook_state in HELD_STATES,
            waits=reading.waits(row),
        )

    @pages.post("/deliveries/<delivery_id>/retry")
    @requires("deliveries:retry")
    def retry_delivery(delivery_id: str) -> Response:
        with store.begin(current.scope(), current.cause()) as tx:
            usecases.retry(tx, reopening, identity("dlv", delivery_id))
        return back("delivery", "retried", delivery_id=delivery_id)


def _shown(row: Any) -> dict[str, Any]:
    return {**reading.show_delivery(row), "held": reading.why_held(row)}
