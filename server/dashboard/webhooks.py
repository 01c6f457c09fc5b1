"""Webhooks: their states, what waits for them, and the switch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template, url_for

from server.authoring import crud
from server.dashboard import queries
from server.dashboard.listing import PAGE, argument, back
from server.kernel.errors import NotFound
from server.web import current, paging
from server.web.permissions import requires
from server.webhooks.repository import WEBHOOKS

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

    from server.kernel.lifecycle import Action
    from server.store import Store

ACTIONS: dict[str, Action] = {"pause": "pause", "resume": "resume", "activate": "activate"}
"""What a person on call may do here; the rest belongs to the definition's file."""
_LISTING = "webhooks"


def add(pages: Blueprint, store: Store) -> None:
    """Add the pages."""

    @pages.get("/webhooks")
    @requires("deliveries:read")
    def webhooks() -> str:
        text, state = argument("cursor", 2000), argument("state")
        after = str(paging.read(text, _LISTING, str)[0]) if text else ""
        with store.begin(current.scope(), current.cause()) as tx:
            found = WEBHOOKS.page(tx, after=after, limit=PAGE + 1, state=state)
            waiting = queries.waiting(tx, [each.aggregate.id for each in found])
        more = None
        if len(found) > PAGE:
            cursor = paging.write(_LISTING, [found[PAGE - 1].aggregate.name])
            more = url_for("dashboard.webhooks", cursor=cursor, state=state)
        return render_template(
            "dashboard/webhooks.html", webhooks=found[:PAGE], waiting=waiting, more=more, state=state, actions=ACTIONS
        )

    @pages.post("/webhooks/<name>/<action>")
    @requires("webhooks:operate")
    def move_webhook(name: str, action: str) -> Response:
        if action not in ACTIONS:
            raise NotFound("there is no such action here", source="dashboard")
        with store.begin(current.scope(), current.cause()) as tx:
            crud.act(tx, "Webhook", name, ACTIONS[action], lambda _version: None, "on the dashboard")
        return back("webhooks", action)
