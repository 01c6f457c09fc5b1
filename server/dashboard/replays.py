"""Replays: what was asked for, how far each has got, and the switch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template

from server.dashboard.listing import PAGE, argument, back, before, identity, turns
from server.kernel.errors import NotFound
from server.replays import jobs, usecases
from server.replays.aggregate import STATES, TRANSITIONS
from server.replays.schemas import show_replay
from server.web import current
from server.web.permissions import requires

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.wrappers import Response

    from server.store import Store

ACTIONS = {"pause": "paused", "resume": "resumed", "cancel": "cancelled"}
"""What a person may do here, and what is said then."""
_LISTING = "replays"


def add(pages: Blueprint, store: Store, hint: Callable[[], None]) -> None:
    """Add the pages."""

    @pages.get("/replays")
    @requires("deliveries:read")
    def replays() -> str:
        state = argument("state")
        with store.begin(current.scope(), current.cause()) as tx:
            rows = jobs.page(tx, before=before(_LISTING), limit=PAGE + 1, state=state)
        return render_template(
            "dashboard/replays.html",
            replays=[{**show_replay(row), "actions": _actions(row.state)} for row in rows[:PAGE]],
            **turns(rows, _LISTING),
            state=state,
            states=STATES,
        )

    @pages.post("/replays/<replay_id>/<action>")
    @requires("deliveries:retry")
    def move_replay(replay_id: str, action: str) -> Response:
        if action not in ACTIONS:
            raise NotFound("there is no such action here", source="dashboard")
        with store.begin(current.scope(), current.cause()) as tx:
            usecases.act(tx, identity("rpl", replay_id), action, hint)
        return back("replays", f"replay-{ACTIONS[action]}")


def _actions(state: str) -> list[str]:
    return [action for known, action in TRANSITIONS if known == state and action in ACTIONS]
