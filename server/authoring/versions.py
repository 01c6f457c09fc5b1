"""Versions of definitions: kept for good, and any of them can be re-applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.authoring import queries
from server.authoring.applying import Done, put, version_after
from server.authoring.examining import examine
from server.authoring.planning import API, label
from server.events.routes import lock_routes, touch_routes
from server.kernel.errors import Conflict, NotFound, code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Row

    from server.authoring.examining import World
    from server.authoring.queries import Held
    from server.store import Tx

NO_EARLIER_VERSION = code("NO_EARLIER_VERSION", "The definition has no earlier version that says something else.")


def live(tx: Tx, kind: str, name: str) -> Held:
    """Return a definition that was not removed.

    Raises:
        NotFound: there is none.

    """
    found = queries.find(tx, kind, name)
    if found is None or not found.live:
        raise NotFound(f"no {label(kind, name)} in {tx.scope}")
    return found


def history(tx: Tx, kind: str, name: str, *, before: int | None = None, limit: int = 1000) -> Sequence[Row[Any]]:
    """Return the versions (version, action, origin, hash, body, at, by), newest first, also of a removed definition.

    Raises:
        NotFound: there never was one of that kind and name.

    """
    if queries.find(tx, kind, name) is None:
        raise NotFound(f"no {label(kind, name)} in {tx.scope}")
    return queries.versions(tx, kind, name, before=before, limit=limit)


def rollback(tx: Tx, world: World, kind: str, name: str, version: int | None = None) -> Done | None:
    """Re-apply an older version as a new one; without a number, the newest that says something else.

    The owner stays: what a folder owns shows as drift in its plan until the folder agrees. The older version is
    checked against the workspace of today. Returns None when it says what is there already: nothing is written.

    Raises:
        NotFound: no such definition or version.
        Conflict: NO_EARLIER_VERSION.
        Invalid: the older version does not pass the check any more.

    """
    lock_routes(tx)
    held = live(tx, kind, name)
    target = _target(tx, held, version)
    if target.hash == held.hash:
        return None
    definition = examine(tx, world, kind, target.body)
    touch_routes(tx)
    write = version_after(held, kind, name, definition.body, action="rollback", origin=API, owner=held.origin)
    return put(tx, write)


def _target(tx: Tx, held: Held, version: int | None) -> Row[Any]:
    kept = queries.versions(tx, held.kind, held.name)
    if version is None:
        found = next((each for each in kept if each.version < held.version and each.hash != held.hash), None)
        if found is None:
            raise Conflict(f"{label(*held.key)} has no earlier version", code=NO_EARLIER_VERSION)
        return found
    found = next((each for each in kept if each.version == version), None)
    if found is None:
        raise NotFound(f"{label(*held.key)} has no version {version}")
    return found
