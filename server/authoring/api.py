"""Definitions over HTTP: check, test, plan, apply, versions, rollback, export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.authoring import applying, planning, queries, schemas, testing, versions
from server.authoring.check import check
from server.authoring.examining import catalog
from server.authoring.exporting import export
from server.authoring.planning import label, slug
from server.authoring.resources import resources
from server.authoring.words import KINDS
from server.documents.reading import File
from server.kernel.errors import Invalid, NotFound, code
from server.web import current, paging
from server.web.answers import answer
from server.web.idempotency import remember
from server.web.permissions import requires
from server.web.preconditions import expect_version, maybe_versioned
from server.web.room import Room

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from flask import Response

    from server.authoring.applying import Done
    from server.authoring.check import CheckResult
    from server.authoring.examining import World
    from server.authoring.queries import Held
    from server.documents.findings import Finding
    from server.store import Store, Tx

CHECK_FAILED = code("CHECK_FAILED", "The definitions have errors; `findings` names each with its place.")
_MOST_FINDINGS = 1000


def blueprint(store: Store, world: World) -> Room:
    """Make the room of definitions, and of the resources that they declare."""
    room = Room("definitions", description="Definitions: check, test, plan, apply, roll back, export; their resources")
    _looking(room, store, world)
    _applying(room, store, world)
    _reading(room, store)
    resources(room, store, world)
    return room


def _looking(room: Room, store: Store, world: World) -> None:
    @room.route("/api/v1/definitions/check", methods=["POST"])
    @requires("definitions:read")
    @room.arguments(schemas.FilesSchema)
    @room.response(200, schemas.CheckedSchema)
    def check_definitions(body: dict[str, Any]) -> dict[str, Any]:
        """Check files: every error at once, with its place."""
        with _begin(store) as tx:
            known = catalog(tx, world)
        result = check(_files(body), known)
        return {"findings": _shown(result.findings), "ok": result.ok}

    @room.route("/api/v1/definitions/test", methods=["POST"])
    @requires("definitions:read")
    @room.arguments(schemas.FilesSchema)
    @room.response(200, schemas.TestedSchema)
    def test_definitions(body: dict[str, Any]) -> dict[str, Any]:
        """Run the definitions' own tests: no network, no secret."""
        with _begin(store) as tx:
            known = catalog(tx, world)
        result = check(_files(body), known)
        report = testing.test(result.documents if result.ok else (), known)
        results = [
            {
                "definition": each.definition,
                "test": each.test,
                "file": each.file,
                "line": each.line,
                "col": each.col,
                "ok": each.passed,
                "problems": list(each.differences),
            }
            for each in report.outcomes
        ]
        return {"findings": _shown(result.findings), "results": results, "ok": result.ok and report.ok}

    @room.route("/api/v1/definitions/plan", methods=["POST"])
    @requires("definitions:read")
    @room.arguments(schemas.PlanInSchema)
    @room.response(200, schemas.PlanSchema)
    def plan_definitions(body: dict[str, Any]) -> dict[str, Any]:
        """Show what an apply would create, change and remove; touches nothing."""
        result = _check(store, world, body)
        with _begin(store) as tx:
            tx.run("SET TRANSACTION READ ONLY")
            if not result.ok:
                base = planning.base_of(queries.held(tx).values(), body["origin"])
                return {"base": base, "changes": [], "unchanged": 0, "kept": [], "findings": _shown(result.findings)}
            made = planning.plan(tx, result.documents, body["origin"], prune=body["prune"])
        return _plan(made, result.findings)


def _applying(room: Room, store: Store, world: World) -> None:
    @room.route("/api/v1/definitions/apply", methods=["POST"])
    @requires("definitions:apply")
    @room.arguments(schemas.ApplyInSchema)
    @room.response(200, schemas.AppliedSchema)
    def apply_definitions(body: dict[str, Any]) -> Response:
        """Make the workspace hold these definitions, in one transaction; what is unchanged is not touched."""
        result = _check(store, world, body)
        if not result.ok:
            raise _refusal(result)
        with _begin(store) as tx:
            done = applying.apply(tx, result.documents, body["origin"], prune=body["prune"], base=body["base"])
            shown = {"applied": [_done(each) for each in done.changes], "unchanged": done.unchanged}
            return remember(tx, answer(schemas.AppliedSchema, shown))

    @room.route("/api/v1/definitions/<kind>/<name>/rollback", methods=["POST"])
    @requires("definitions:apply")
    @room.arguments(schemas.RollbackSchema)
    @room.response(200, schemas.DefinitionSchema)
    @maybe_versioned
    def rollback_definition(body: dict[str, Any], kind: str, name: str) -> Response:
        """Re-apply an older version as a new one; what a folder owns shows as drift until the folder agrees."""
        with _begin(store) as tx:
            expect_version(versions.live(tx, _kind(kind), name).version, required=False)
            versions.rollback(tx, world, _kind(kind), name, body["version"])
            held = versions.live(tx, _kind(kind), name)
            return remember(tx, answer(schemas.DefinitionSchema, _definition(held), version=held.version))


def _reading(room: Room, store: Store) -> None:
    @room.route("/api/v1/definitions")
    @requires("definitions:read")
    @room.arguments(schemas.DefinitionQuery, location="query")
    @room.response(200, schemas.DefinitionPage)
    def list_definitions(query: dict[str, Any]) -> dict[str, Any]:
        """List definitions by kind and name."""
        position = paging.after(query, "definitions", str, str) or ["", ""]
        kind = KINDS.get(query["kind"] or "")
        with _begin(store) as tx:
            after = (str(position[0]), str(position[1]))
            rows = queries.page(tx, after=after, limit=query["limit"] + 1, kind=kind, origin=query["origin"])
        return paging.page(rows, query["limit"], "definitions", lambda each: [each.kind, each.name], _definition)

    @room.route("/api/v1/definitions/export")
    @requires("definitions:read")
    @room.arguments(schemas.ExportQuery, location="query")
    @room.response(200, schemas.ExportSchema)
    def export_definitions(query: dict[str, Any]) -> dict[str, Any]:
        """Write what the workspace holds as definition files; secrets stay references."""
        with _begin(store) as tx:
            return {"files": export(tx, query["origin"])}

    @room.route("/api/v1/definitions/<kind>/<name>")
    @requires("definitions:read")
    @room.response(200, schemas.DefinitionSchema)
    def get_definition(kind: str, name: str) -> Response:
        """Read one definition; an event type's name is TYPE@VERSION."""
        with _begin(store) as tx:
            held = versions.live(tx, _kind(kind), name)
        return answer(schemas.DefinitionSchema, _definition(held), version=held.version)

    @room.route("/api/v1/definitions/<kind>/<name>/versions")
    @requires("definitions:read")
    @room.arguments(paging.PageQuery, location="query")
    @room.response(200, schemas.VersionPage)
    def list_versions(query: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
        """List the versions of a definition, newest first, also of a removed one."""
        position = paging.after(query, "versions", int)
        before = int(position[0]) if position else None
        with _begin(store) as tx:
            rows = versions.history(tx, _kind(kind), name, before=before, limit=query["limit"] + 1)
        return paging.page(rows, query["limit"], "versions", lambda row: [row.version])


def _begin(store: Store) -> AbstractContextManager[Tx]:
    return store.begin(current.scope(), current.cause())


def _files(body: dict[str, Any]) -> list[File]:
    return [File(each["path"], each["text"].encode()) for each in body["files"]]


def _check(store: Store, world: World, body: dict[str, Any]) -> CheckResult:
    """Check against what will be there: a prune may remove what the origin owns, so only its files count.

    No transaction is open meanwhile: thousands of files take seconds.
    """
    with _begin(store) as tx:
        known = catalog(tx, world, without=body["origin"] if body["prune"] else None)
    return check(_files(body), known)


def _refusal(result: CheckResult) -> Invalid:
    first, count = result.errors[0], len(result.errors)
    more = f" (and {count - 1} more)" if count > 1 else ""
    return Invalid(f"{first}{more}", code=CHECK_FAILED, source="authoring", findings=_shown(result.errors))


def _shown(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [each.as_dict() for each in findings[:_MOST_FINDINGS]]


def _plan(made: planning.Plan, checked: Sequence[Finding]) -> dict[str, Any]:
    changes = [
        {
            "action": each.action,
            "kind": slug(each.kind),
            "name": each.name,
            "diff": [one.as_dict() for one in each.diff],
            "drift": each.drift,
        }
        for each in made.changes
    ]
    return {
        "base": made.base,
        "changes": changes,
        "unchanged": made.unchanged,
        "kept": [label(*key) for key in made.kept],
        "findings": _shown([*checked, *made.findings]),
    }


def _done(done: Done) -> dict[str, Any]:
    return {"action": done.action, "kind": slug(done.kind), "name": done.name, "version": done.version}


def _kind(word: str) -> str:
    """Return the kind that a path names.

    Raises:
        NotFound: there is none of that name.

    """
    kind = KINDS.get(word)
    if kind is None:
        raise NotFound(f"no kind {word[:50]}; there are {', '.join(KINDS)}")
    return kind


def _definition(held: Held) -> dict[str, Any]:
    return {
        "kind": slug(held.kind),
        "name": held.name,
        "version": held.version,
        "origin": held.origin,
        "drifted": held.last_origin != held.origin,
        "updated_at": held.updated_at,
        "updated_by": held.updated_by,
        "body": held.body,
    }
