"""Single definitions over REST: written with the origin `api`, read-only where a folder owns them unless forced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.authoring import queries
from server.authoring.applying import REPOSITORIES, Done, lock, put, version_after
from server.authoring.applying import remove as take_out
from server.authoring.examining import examine
from server.authoring.planning import API, STILL_REFERRED, label, name_of
from server.authoring.references import plain, still_referred
from server.authoring.versions import live
from server.events.routes import lock_routes, touch_routes
from server.kernel.errors import INVALID, Conflict, Invalid, NotFound, code
from server.store.repository import NAME_TAKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from server.authoring.examining import World
    from server.authoring.queries import Held
    from server.kernel.lifecycle import Action, Declared
    from server.store import Tx

    Expect = Callable[[int], None]
    """Raises unless the caller has read this version; called inside the transaction."""

OWNED_BY_FOLDER = code(
    "OWNED_BY_FOLDER",
    "A folder of definitions owns it: change it there and apply, or send `?force=true`, which the folder's plan shows "
    "as drift.",
)


def create(tx: Tx, world: World, kind: str, body: Mapping[str, Any]) -> Done:
    """Create a definition; one that was removed comes back with its history.

    Raises:
        Invalid: the body breaks a rule.
        Conflict: NAME_TAKEN.

    """
    lock_routes(tx)
    definition = examine(tx, world, kind, body)
    name = name_of(definition)
    held = queries.find(tx, kind, name)
    if held is not None and held.live:
        raise Conflict(f"{label(kind, name)} exists already; {held.origin} owns it", code=NAME_TAKEN)
    touch_routes(tx)
    return put(tx, version_after(held, kind, name, definition.body, action="create", origin=API))


def replace(
    tx: Tx, world: World, kind: str, name: str, body: Mapping[str, Any], expect: Expect, *, force: bool = False
) -> Done | None:
    """Replace a definition; the same body again writes nothing and returns None.

    Raises:
        NotFound, PreconditionFailed, PreconditionMissing: by `expect`.
        Conflict: OWNED_BY_FOLDER.
        Invalid: the body breaks a rule, or names another definition.

    """
    lock_routes(tx)
    held = _ours(tx, kind, name, expect, force=force)
    definition = examine(tx, world, kind, body)
    if name_of(definition) != name:
        message = f"the body names {name_of(definition)}, the path {name}; a name does not change"
        raise Invalid(message, errors=[{"pointer": "/name", "code": INVALID, "message": message}])
    if held.hash == queries.content_hash(definition.body):
        return None
    touch_routes(tx)
    return put(tx, version_after(held, kind, name, definition.body, action="change", origin=API, owner=held.origin))


def remove(tx: Tx, kind: str, name: str, expect: Expect, *, force: bool = False) -> Done:
    """Remove a definition softly.

    Raises:
        NotFound, PreconditionFailed, PreconditionMissing: by `expect`.
        Conflict: OWNED_BY_FOLDER; STILL_REFERRED with those that refer to it in `details["used_by"]`.

    """
    lock_routes(tx)
    held = _ours(tx, kind, name, expect, force=force)
    others = {key: each.body for key, each in queries.held(tx).items() if each.live and key != held.key}
    users = [label(*plain(user)) for _, user in still_referred([held.key], others)]
    if users:
        message = f"{label(kind, name)} is in use by {', '.join(users[:10])}"
        raise Conflict(message, code=STILL_REFERRED, source="authoring", used_by=users[:100])
    touch_routes(tx)
    return take_out(tx, held, API)


def restore(tx: Tx, world: World, kind: str, name: str) -> Done:
    """Bring a removed definition back with its history; what has states comes back as a draft, for a person to activate.

    Raises:
        NotFound: there never was one.
        Conflict: NAME_TAKEN, it is not removed.
        Invalid: it does not pass the check any more: what it refers to is gone.

    """
    lock_routes(tx)
    held = queries.find(tx, kind, name)
    if held is None:
        raise NotFound(f"no {label(kind, name)} in {tx.scope}")
    if held.live:
        raise Conflict(f"{label(kind, name)} is not removed", code=NAME_TAKEN)
    definition = examine(tx, world, kind, held.body)
    touch_routes(tx)
    write = version_after(held, kind, name, definition.body, action="restore", origin=API, owner=held.origin)
    return put(tx, write, activate=False)


def act(tx: Tx, kind: str, name: str, action: Action, expect: Expect, reason: str = "") -> Declared:
    """Pause, resume, activate or disable what a definition declares.

    Raises:
        NotFound, PreconditionFailed: by `expect`.
        Conflict: WRONG_STATE; `details["allowed"]` has what the state allows.

    """
    touch_routes(tx)
    lock(tx, kind, name)
    aggregate: Declared = REPOSITORIES[kind].get(tx, name)
    expect(aggregate.version)
    aggregate.act(action, reason)
    REPOSITORIES[kind].save(tx, aggregate)
    return aggregate


def version_of(tx: Tx, held: Held) -> int:
    """Return what the ETag of a definition is: its aggregate's version, which moves with its states too."""
    repository = REPOSITORIES.get(held.kind)
    return held.version if repository is None else int(repository.get(tx, held.name).version)


def _ours(tx: Tx, kind: str, name: str, expect: Expect, *, force: bool) -> Held:
    held = live(tx, kind, name)
    if kind in REPOSITORIES:
        lock(tx, kind, name)
    expect(version_of(tx, held))
    if held.origin != API and not force:
        raise Conflict(
            f"{label(kind, name)} belongs to {held.origin}: change it there, or force it",
            code=OWNED_BY_FOLDER,
            source="authoring",
            origin=held.origin,
        )
    return held
