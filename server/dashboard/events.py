"""Events: the list, and one with its data and the tree of what it came of and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, render_template, url_for

from server.dashboard import queries
from server.dashboard.listing import PAGE, argument, before, identity
from server.events import searching
from server.events.tree import tree_of
from server.events.wanted import read_pattern
from server.kernel.errors import NotFound
from server.web import current, paging
from server.web.permissions import requires

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.events.envelope import Event
    from server.events.tree import Branch
    from server.store import Store

_LISTING = "events"


def add(pages: Blueprint, store: Store, branches: Sequence[Branch]) -> None:
    """Add the pages. An event goes by our own id here: what publishers give is unique with its source only."""

    @pages.get("/events")
    @requires("events:read")
    def events() -> str:
        filters = {name: argument(name) for name in ("type", "subject", "correlation")}
        start = before(_LISTING)
        search = searching.Search(
            type=filters["type"] and read_pattern(filters["type"]),
            subject=filters["subject"],
            correlation_id=filters["correlation"],
            before=start,
        )
        with store.begin(current.scope(), current.cause()) as tx:
            found = searching.page(tx, search, PAGE + 1)
        kept: dict[str, Any] = {name: value for name, value in filters.items() if value}
        return render_template(
            "dashboard/events.html",
            events=found[:PAGE],
            filters=filters,
            older=_older(found, kept),
            newest=url_for("dashboard.events", **kept) if start else None,
        )

    @pages.get("/events/<uid>")
    @requires("events:read")
    def event(uid: str) -> str:
        with store.begin(current.scope(), current.cause()) as tx:
            found = queries.event(tx, identity("evt", uid))
            if found is None:
                raise NotFound("there is no such event here", source="dashboard")
            tree = tree_of(tx, branches, found)
        return render_template("dashboard/event.html", event=found, tree=tree)


def _older(found: list[Event], kept: dict[str, Any]) -> str | None:
    if len(found) <= PAGE:
        return None
    return url_for("dashboard.events", cursor=paging.write(_LISTING, [str(found[PAGE - 1].uid)]), **kept)
