"""The version of a workspace's routes: what caches compare to know that subscriptions, schemas or states have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.store import Tx


def touch_routes(tx: Tx) -> None:
    """Tell every cache that what subscribes has changed. Call it before the change itself.

    It locks the workspace's row until commit, and whoever changes definitions takes that lock first: nobody deadlocks.
    """
    tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")


def lock_routes(tx: Tx) -> None:
    """Let nobody else change the workspace's definitions until commit, without changing anything."""
    tx.run("SELECT FROM workspaces WHERE id = :workspace_id FOR NO KEY UPDATE")
