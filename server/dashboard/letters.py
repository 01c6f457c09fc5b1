"""Dead letters: what will not be tried again by itself, until somebody retries or discards it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request

from server.dashboard import queries
from server.dashboard.listing import PAGE, argument, back, before, identity, turns
from server.kernel.errors import Invalid, NotFound
from server.queue import dead_letters
from server.web import current
from server.web.permissions import requires
from server.webhooks import reading, usecases

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from werkzeug.wrappers import Response

    from server.queue.dead_letters import Reopen
    from server.store import Store, Tx
    from server.webhooks.owners import Owners

_AT_ONCE = 10_000
_LISTING = "dead-letters"


def add(pages: Blueprint, store: Store, reopens: dict[str, Reopen], owners: Owners) -> None:
    """Add the pages."""

    @pages.get("/dead-letters")
    @requires("deliveries:read")
    def letters() -> str:
        webhook, resolved = argument("webhook"), argument("show") == "resolved"
        with store.begin(current.scope(), current.cause()) as tx:
            owner, unknown = _owner(tx, owners, webhook)
            position = before(_LISTING)
            rows = (
                [] if unknown else queries.letters(tx, before=position, limit=PAGE + 1, owner=owner, resolved=resolved)
            )
            names = queries.names(tx)
        return render_template(
            "dashboard/letters.html",
            letters=rows[:PAGE],
            **turns(rows, _LISTING),
            webhook=webhook,
            unknown=unknown,
            resolved=resolved,
            names=names,
        )

    @pages.post("/dead-letters/<letter_id>/retry")
    @requires("deliveries:retry")
    def retry_letter(letter_id: str) -> Response:
        return _resolve(
            store, letter_id, lambda tx, ids: usecases.retry_dead_letters(tx, ids, reopens), "letter-retried"
        )

    @pages.post("/dead-letters/<letter_id>/discard")
    @requires("deliveries:retry")
    def discard_letter(letter_id: str) -> Response:
        return _resolve(store, letter_id, lambda tx, ids: usecases.discard_dead_letters(tx, ids, reopens), "discarded")

    @pages.post("/dead-letters/retry-all")
    @requires("deliveries:retry")
    def retry_all() -> Response:
        webhook = request.form.get("webhook", "").strip()
        if not webhook or len(webhook) > 300:  # noqa: PLR2004 - as long as any filter
            raise Invalid("name the definition whose dead letters are meant", source="dashboard")
        with store.begin(current.scope(), current.cause()) as tx:
            found = reading.open_letters(tx, owners.named(tx, webhook), _AT_ONCE)
            count = usecases.retry_dead_letters(tx, found, reopens)
        return back("letters", "letters-retried", count, webhook=webhook)


def _owner(tx: Tx, owners: Owners, name: str | None) -> tuple[str | None, str | None]:
    """Return whose dead letters are meant, and why nobody can be meant."""
    try:
        return name and owners.named(tx, name), None
    except (Invalid, NotFound) as error:
        return None, error.message


def _resolve(store: Store, letter_id: str, act: Callable[[Tx, list[UUID]], int], done: str) -> Response:
    """Retry or discard one; one that somebody else was faster with stays as it is."""
    key = identity("dead", letter_id)
    with store.begin(current.scope(), current.cause()) as tx:
        if dead_letters.find(tx, key) is None:
            raise NotFound("there is no such dead letter here", source="dashboard")
        count = act(tx, [key])
    webhook = request.form.get("webhook", "")[:300] or None
    return back("letters", done if count else "was-resolved", webhook=webhook)
