"""The shapes of definitions, plans and what definitions declare, over HTTP."""

from __future__ import annotations

from typing import get_args

from marshmallow import fields, validate

from server.authoring.words import KINDS
from server.documents.reading import MAX_FILES
from server.kernel.lifecycle import State
from server.web.paging import PageQuery, page_of
from server.web.room import Flag, In, Json, Moment, Out, Pattern, Text, Whole

ORIGIN = r"api|folder:[A-Za-z0-9][A-Za-z0-9._/-]{0,99}"
STATES = get_args(State)


class FileSchema(In):
    """One definition file."""

    path = Text(most=500, least=1, required=True, metadata={"description": "Its name as findings show it."})
    text = fields.String(required=True, metadata={"description": "Its content, YAML or (by its name) JSON."})


class FilesSchema(In):
    """Definition files that belong together: references reach over all of them and over the workspace."""

    files = fields.List(fields.Nested(FileSchema), required=True, validate=validate.Length(max=MAX_FILES))


class PlanInSchema(FilesSchema):
    """What the workspace should hold."""

    origin = fields.String(
        load_default="api",
        validate=Pattern(ORIGIN, error="`api` or `folder:NAME`"),
        metadata={"description": "Who owns these definitions: `folder:NAME`, or `api`."},
    )
    prune = Flag(load_default=False, metadata={"description": "Remove what the origin owns and no file declares."})


class ApplyInSchema(PlanInSchema):
    """A plan to carry out."""

    base = fields.String(
        load_default=None,
        allow_none=True,
        validate=Pattern(r"[0-9a-f]{64}", error="the `base` of a plan"),
        metadata={"description": "The `base` of the plan that was looked at: refused when it moved."},
    )


class FindingSchema(Out):
    """What a check found."""

    file = fields.String(required=True)
    line = fields.Integer(required=True)
    col = fields.Integer(required=True)
    code = fields.String(required=True)
    severity = fields.String(required=True, validate=validate.OneOf(("error", "warning")))
    message = fields.String(required=True)
    suggestion = fields.String(required=True, allow_none=True)


class CheckedSchema(Out):
    """Every finding at once; `ok` when none is an error."""

    findings = fields.List(fields.Nested(FindingSchema), required=True)
    ok = fields.Boolean(required=True)


class TestResultSchema(Out):
    """How one of a definition's own tests ended."""

    __test__ = False

    definition = fields.String(required=True)
    test = fields.String(required=True)
    file = fields.String(required=True)
    line = fields.Integer(required=True)
    col = fields.Integer(required=True)
    ok = fields.Boolean(required=True)
    problems = fields.List(fields.String(), required=True)


class TestedSchema(Out):
    """How the tests ended; none runs while the check has errors."""

    __test__ = False

    findings = fields.List(fields.Nested(FindingSchema), required=True)
    results = fields.List(fields.Nested(TestResultSchema), required=True)
    ok = fields.Boolean(required=True)


class DifferenceSchema(Out):
    """A field that differs; `before` or `after` is absent where there is nothing."""

    path = fields.String(required=True, metadata={"description": "JSON pointer into the definition."})
    before = Json(allow_none=True)
    after = Json(allow_none=True)


class ChangeSchema(Out):
    """One step of a plan."""

    action = fields.String(required=True, validate=validate.OneOf(("create", "change", "remove")))
    kind = fields.String(required=True)
    name = fields.String(required=True)
    diff = fields.List(fields.Nested(DifferenceSchema), required=True)
    drift = fields.String(
        required=True, allow_none=True, metadata={"description": "Who changed it by another way than its origin."}
    )


class PlanSchema(Out):
    """What an apply would do now; with an error among the findings it refuses."""

    base = fields.String(required=True)
    changes = fields.List(fields.Nested(ChangeSchema), required=True)
    unchanged = fields.Integer(required=True)
    kept = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Owned by the origin, in no file; `prune` removes them."},
    )
    findings = fields.List(fields.Nested(FindingSchema), required=True)


class DoneSchema(Out):
    """One definition that was changed."""

    action = fields.String(required=True)
    kind = fields.String(required=True)
    name = fields.String(required=True)
    version = fields.Integer(required=True)


class AppliedSchema(Out):
    """What an apply did."""

    applied = fields.List(fields.Nested(DoneSchema), required=True)
    unchanged = fields.Integer(required=True)


class DefinitionSummarySchema(Out):
    """A definition as a listing shows it."""

    kind = fields.String(required=True)
    name = fields.String(required=True)
    version = fields.Integer(required=True)
    origin = fields.String(required=True)
    drifted = fields.Boolean(
        required=True, metadata={"description": "Its present version came by another way than its origin."}
    )
    updated_at = Moment(required=True)
    updated_by = fields.String(required=True)


class DefinitionSchema(DefinitionSummarySchema):
    """A definition as the workspace holds it."""

    body = Json(required=True)


class VersionSchema(Out):
    """One version of a definition."""

    version = fields.Integer(required=True)
    action = fields.String(required=True, metadata={"description": "create, change, remove, restore or rollback"})
    origin = fields.String(required=True)
    at = Moment(required=True)
    by = fields.String(required=True)
    body = Json(required=True)


class RollbackSchema(In):
    """Which version to go back to; without one, the newest that says something else."""

    version = Whole(load_default=None, allow_none=True, validate=validate.Range(1, 2**31 - 1))


class ExportQuery(In):
    """What to export."""

    origin = Text(most=200, load_default=None, metadata={"description": "Only what this origin owns."})


class ExportedFileSchema(Out):
    """One file."""

    path = fields.String(required=True)
    text = fields.String(required=True)


class ExportSchema(Out):
    """Definition files that check cleanly; applied again they change nothing."""

    files = fields.List(fields.Nested(ExportedFileSchema), required=True)


class DefinitionQuery(PageQuery):
    """Filters of the listing of definitions."""

    kind = fields.String(load_default=None, validate=validate.OneOf(tuple(KINDS)))
    origin = Text(most=200, load_default=None)


class ResourceQuery(PageQuery):
    """Filters of a listing of resources; besides these, `metadata.KEY=VALUE` as often as needed."""

    state = fields.String(load_default=None, validate=validate.OneOf(STATES))


class TypeQuery(PageQuery):
    """Filters of the listing of event types: `metadata.KEY=VALUE` as often as needed."""


class ForceQuery(In):
    """Whether to change what a folder owns."""

    force = fields.Boolean(
        load_default=False,
        metadata={"description": "Change it although a folder owns it; its plan shows that as drift."},
    )


class ReasonSchema(In):
    """Why; people read it in the history."""

    reason = Text(most=500, load_default="")


class StampedSchema(Out):
    """What every definition that is read as a resource says."""

    name = fields.String(required=True)
    version = fields.Integer(required=True, metadata={"description": "The version of its definition."})
    origin = fields.String(required=True)
    drifted = fields.Boolean(required=True)
    metadata = Json(required=True)
    definition = Json(required=True, metadata={"description": "The definition without `kind`: what PUT takes."})
    created_at = Moment(required=True)
    created_by = fields.String(required=True)
    updated_at = Moment(required=True)
    updated_by = fields.String(required=True)


class ResourceSchema(StampedSchema):
    """An integration or a webhook."""

    state = fields.String(required=True, validate=validate.OneOf(STATES))
    allowed = fields.List(fields.String(), required=True, metadata={"description": "Actions that the state allows."})


class EventTypeSchema(StampedSchema):
    """A version of an event type; `name` is `TYPE@VERSION`."""


class EntrySchema(Out):
    """One domain event of a resource."""

    version = fields.Integer(required=True)
    type = fields.String(required=True)
    data = Json(required=True)
    at = Moment(required=True)
    by = fields.String(required=True)
    correlation_id = fields.String(required=True)
    causation_id = fields.String(required=True, allow_none=True)


DefinitionPage = page_of(DefinitionSummarySchema)
VersionPage = page_of(VersionSchema)
ResourcePage = page_of(ResourceSchema)
EventTypePage = page_of(EventTypeSchema)
EntryPage = page_of(EntrySchema)
