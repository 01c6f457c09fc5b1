"""The first page: is there something to do?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request

from server.dashboard import queries
from server.operations import kpis
from server.web import current
from server.web.permissions import requires

if TYPE_CHECKING:
    from server.store import Store

REFRESH_SECONDS = 15
"""How often the page asks for itself, for those who want that: a screen on the wall."""
_LETTERS = 8


def add(pages: Blueprint, store: Store) -> None:
    """Add the page."""

    @pages.get("/")
    @requires("deliveries:read")
    def overview() -> str:
        with store.begin(current.scope(), current.cause()) as tx:
            figures = kpis.read(tx)
            troubled = queries.troubled(tx)
            waiting = queries.waiting(tx, [each.id for each in troubled])
            runs = queries.stuck_runs(tx)
            jobs = queries.failing_jobs(tx)
            letters = queries.letters(tx, before=None, limit=_LETTERS)
        return render_template(
            "dashboard/overview.html",
            figures=figures,
            troubled=troubled,
            waiting=waiting,
            runs=runs,
            jobs=jobs,
            letters=letters,
            refresh_seconds=REFRESH_SECONDS,
            refresh=REFRESH_SECONDS if request.args.get("refresh") == str(REFRESH_SECONDS) else None,
        )
