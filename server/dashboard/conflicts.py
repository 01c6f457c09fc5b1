"""Conflicts of two-way sync jobs: fields that both sides have changed, side by side, and whose value is to hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request

from server.dashboard.listing import PAGE, argument, back, before, identity, turns
from server.kernel.errors import Conflict, Invalid
from server.syncs import conflicts
from server.web import current
from server.web.permissions import requires

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.wrappers import Response

    from server.store import Store

_LISTING = "sync-conflicts"
_FIELD = "field:"


def add(pages: Blueprint, store: Store, hint: Callable[[], None]) -> None:
    """Add the pages."""

    @pages.get("/sync-conflicts")
    @requires("deliveries:read")
    def sync_conflicts() -> str:
        job = argument("job")
        with store.begin(current.scope(), current.cause()) as tx:
            rows = conflicts.page(tx, before=before(_LISTING), limit=PAGE + 1, job=job)
        return render_template(
            "dashboard/conflicts.html",
            conflicts=[conflicts.shown(each) for each in rows[:PAGE]],
            **turns(rows, _LISTING),
            job=job,
        )

    @pages.post("/sync-conflicts/<conflict_id>/resolve")
    @requires("syncs:operate")
    def resolve_conflict(conflict_id: str) -> Response:
        chosen = {
            name.removeprefix(_FIELD): side
            for name, side in request.form.items()
            if name.startswith(_FIELD) and side in ("source", "target")
        }
        if not chosen:
            raise Invalid("choose a side for one field at least", source="dashboard")
        done = "conflict-decided"
        try:
            with store.begin(current.scope(), current.cause()) as tx:
                conflicts.resolve(tx, identity(conflicts.PREFIX, conflict_id), chosen, hint)
        except Conflict as error:
            if error.code != conflicts.CONFLICT_RESOLVED:
                raise
            done = "conflict-over"
        return back("sync_conflicts", done)
