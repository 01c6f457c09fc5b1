"""The version of a workspace's routes: what caches compare to know that subscriptions, schemas or states have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.store.engine import ROUTES_VERSION

if TYPE_CHECKING:
    from server.store import Tx


def routes_version(tx: Tx) -> int:
    """Return the version, read once a transaction; -1 where there is no workspace."""
    known: int | None = tx.notes.get(ROUTES_VERSION)
    if known is None:
        row = tx.one("SELECT routes_version FROM workspaces WHERE id = :workspace_id")
        known = tx.notes[ROUTES_VERSION] = -1 if row is None else row.routes_version
    return known


def touch_routes(tx: Tx) -> None:
    """Tell every cache that what subscribes has changed. Call it before the change itself.

    It locks the workspace's row until commit, and whoever changes definitions takes that lock first: nobody deadlocks.
    """
    tx.notes.pop(ROUTES_VERSION, None)
    tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")


def lock_routes(tx: Tx) -> None:
    """Let nobody else change the workspace's definitions until commit, without changing anything."""
    tx.notes.pop(ROUTES_VERSION, None)  # it may have changed until nobody else holds the lock
    tx.run("SELECT FROM workspaces WHERE id = :workspace_id FOR NO KEY UPDATE")
