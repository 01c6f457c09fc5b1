"""Applies definitions: versions, aggregates and their events in the one transaction of the caller, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.authoring import queries
from server.authoring.planning import OWNED_ELSEWHERE, STILL_REFERRED, plan
from server.authoring.queries import Write
from server.authoring.references import references_of
from server.events.routes import lock_routes, touch_routes
from server.flows.aggregate import Flow
from server.flows.repository import FLOWS
from server.integrations.aggregate import Integration
from server.integrations.repository import INTEGRATIONS
from server.kernel.errors import Conflict, Invalid, code
from server.kernel.ids import new_uuid
from server.syncs.aggregate import SyncJob
from server.syncs.repository import SYNC_JOBS
from server.webhooks.aggregate import Webhook
from server.webhooks.repository import WEBHOOKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.authoring.planning import Change, Plan
    from server.authoring.queries import Held
    from server.documents.findings import Finding
    from server.documents.kinds import Definition
    from server.kernel.lifecycle import Declared
    from server.store import Tx
    from server.store.repository import SqlRepository

BASE_MOVED = code("BASE_MOVED", "The workspace has changed since the plan was made; plan again, look, and apply that.")
PLAN_REFUSED = code("PLAN_REFUSED", "The plan has errors; `findings` names each with its place. Nothing was applied.")
_CONFLICTS = frozenset({OWNED_ELSEWHERE, STILL_REFERRED})

REPOSITORIES: dict[str, SqlRepository[Any]] = {
    "Integration": INTEGRATIONS,
    "Webhook": WEBHOOKS,
    "SyncJob": SYNC_JOBS,
    "Flow": FLOWS,
}
"""Which kinds declare an aggregate; the others live in the definitions alone."""
AGGREGATES: dict[str, type[Declared]] = {
    "Integration": Integration,
    "Webhook": Webhook,
    "SyncJob": SyncJob,
    "Flow": Flow,
}


@dataclass(frozen=True, slots=True)
class Done:
    """One definition that was changed, and the version that it has now."""

    action: str
    kind: str
    name: str
    version: int


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did; what was unchanged was not touched."""

    changes: tuple[Done, ...]
    unchanged: int


def apply(
    tx: Tx, definitions: Sequence[Definition], origin: str, *, prune: bool = False, base: str | None = None
) -> Applied:
    """Make the workspace hold checked definitions, as `plan` says it would be.

    Raises:
        Conflict: BASE_MOVED, `base` is given and no longer that of the workspace, or an integration that the check saw
            is gone; OWNED_ELSEWHERE; STILL_REFERRED.
        Invalid: SECRET_MISSING, PLAN_REFUSED. `details["findings"]` has each error with its place.

    """
    lock_routes(tx)
    made = plan(tx, definitions, origin, prune=prune)
    if base is not None and base != made.base:
        raise Conflict("the workspace has changed since the plan was made", code=BASE_MOVED, current=made.base)
    refuse(made)
    _refuse_dangling(tx, definitions)
    if made.changes:
        touch_routes(tx)
    writes = [write for each in made.changes if (write := _write(each, origin))]
    queries.store(tx, writes)
    return Applied(tuple(_carry_out(tx, each) for each in made.changes), made.unchanged)


def refuse(made: Plan) -> None:
    """Raise the errors of a plan, if it has any: a single kind of error under its own code, else PLAN_REFUSED."""
    if made.errors:
        raise refusal(made.errors)


def refusal(errors: Sequence[Finding]) -> Conflict | Invalid:
    """Make the error that says these findings; a Conflict as soon as one is about others' definitions."""
    codes = {each.code for each in errors}
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    kind = Conflict if codes & _CONFLICTS else Invalid
    name = next(iter(codes)) if len(codes) == 1 else PLAN_REFUSED
    findings = [each.as_dict() for each in errors]
    return kind(f"{errors[0]}{more}", code=name, source="authoring", findings=findings)


def _refuse_dangling(tx: Tx, definitions: Sequence[Definition]) -> None:
    """Refuse what was checked against an integration that somebody has removed in the meantime."""
    wanted = {reference for each in definitions for reference in references_of(each.kind, each.body)}
    names = {name for kind, name in wanted if kind == "Integration"}
    names -= {each.name for each in definitions if each.kind == "Integration"}
    gone = names - queries.several(tx, "Integration", sorted(names)).keys()
    if gone:
        raise Conflict(f"integration/{min(gone)} was removed in the meantime; check again", code=BASE_MOVED)


def _write(change: Change, origin: str) -> Write | None:
    """Return the version that a change stores; none when just a state is put right."""
    held, definition = change.held, change.definition
    if definition is None:
        return None if held is None else removal(held, origin)
    if _only_state(change):
        return None
    return version_after(held, definition.kind, change.name, definition.body, action=change.action, origin=origin)


def _only_state(change: Change) -> bool:
    held, definition = change.held, change.definition
    if held is None or definition is None or not held.live:
        return False
    return held.hash == queries.content_hash(definition.body)


def _carry_out(tx: Tx, change: Change) -> Done:
    """Bring the aggregate to what was stored."""
    was = 0 if change.held is None else change.held.version
    version = was if _only_state(change) else was + 1
    if change.definition is None:
        archive(tx, change.kind, change.name)
    else:
        settle(tx, change.kind, change.name, change.definition.body, version, born=change.held is None)
    return Done(change.action, change.kind, change.name, version)


def version_after(
    held: Held | None,
    kind: str,
    name: str,
    body: Mapping[str, Any],
    *,
    action: str,
    origin: str,
    owner: str | None = None,
) -> Write:
    """Return the next version of a definition; `owner` is `origin` unless another keeps it."""
    version = 1 if held is None else held.version + 1
    return Write(kind=kind, name=name, version=version, body=body, action=action, origin=origin, owner=owner or origin)


def removal(held: Held, origin: str) -> Write:
    """Return the version that marks a definition removed; its owner stays, so that the owner's plan can tell."""
    return version_after(held, held.kind, held.name, held.body, action="remove", origin=origin, owner=held.origin)


def put(tx: Tx, write: Write, *, activate: bool = True) -> Done:
    """Store a version and bring its aggregate to it; without `activate` a draft stays one, whatever the body says."""
    queries.store(tx, [write])
    settle(tx, write.kind, write.name, write.body, write.version, activate=activate, born=write.version == 1)
    return Done(write.action, write.kind, write.name, write.version)


def remove(tx: Tx, held: Held, origin: str) -> Done:
    """Remove a definition softly: its versions stay, its aggregate is archived and can be restored."""
    write = removal(held, origin)
    queries.store(tx, [write])
    archive(tx, held.kind, held.name)
    return Done("remove", held.kind, held.name, write.version)


def archive(tx: Tx, kind: str, name: str) -> None:
    """Archive what a definition declared, if its kind declares an aggregate."""
    repository = REPOSITORIES.get(kind)
    if repository is not None:
        lock(tx, kind, name)
        aggregate = repository.get(tx, name)
        aggregate.act("archive")
        repository.save(tx, aggregate)


def settle(
    tx: Tx,
    kind: str,
    name: str,
    body: Mapping[str, Any],
    version: int,
    *,
    activate: bool = True,
    born: bool = False,
) -> None:
    """Bring the aggregate to a version of its definition: created, restored or changed, then as active as it says.

    What a person paused stays paused, what failed stays failing, what was disabled waits for a person. `born` says that
    there never was one of that name, so that none is looked for.
    """
    repository = REPOSITORIES.get(kind)
    if repository is None:
        return
    found = None
    if not born:
        lock(tx, kind, name)
        found = repository.find(tx, name) or repository.find(tx, name, deleted=True)
    content, metadata = dict(body), dict(body.get("metadata", {}))
    if found is None:
        aggregate = AGGREGATES[kind](new_uuid())
        aggregate.create(name, content, version, metadata)
    else:
        aggregate = found.aggregate
        if aggregate.state == "archived":
            aggregate.act("restore")
        if aggregate.definition_version != version:
            aggregate.change(content, version, metadata)
    if activate or aggregate.state != "draft":
        follow(aggregate, active=body.get("active", True))
    if found is None:
        repository.add(tx, aggregate)
    elif aggregate.uncommitted:
        repository.save(tx, aggregate)


def follow(aggregate: Declared, *, active: bool) -> None:
    """Set the one state that a file sets."""
    if active and aggregate.state == "draft":
        aggregate.activate()
    elif not active and aggregate.state != "draft":
        aggregate.act("deactivate", "active: false")


def lock(tx: Tx, kind: str, name: str) -> None:
    """Wait for whoever is changing the aggregate, so that what is read next is what will be saved."""
    table = REPOSITORIES[kind].table
    tx.run(f"SELECT FROM {table} WHERE workspace_id = :workspace_id AND name = :name FOR NO KEY UPDATE", name=name)
