"""The shapes of records over HTTP: what a run wrote, what a reconcile found, why a record looks as it does."""

from __future__ import annotations

from marshmallow import fields, validate

from server.web.paging import PageQuery, page_of
from server.web.room import In, Moment, Out

OUTCOMES = ("open", "reverted", "left")
STATES = ("open", "repaired", "left")
KINDS = ("missing", "differing", "surplus")


class RevertNew(In):
    """How a run is reverted."""

    force = fields.Boolean(
        load_default=False,
        metadata={"description": "Also what was changed since is put back as it was before the run."},
    )


class ForeseenSchema(Out):
    """What a revert would do, with the first records."""

    run = fields.String(required=True)
    records = fields.Integer(required=True, metadata={"description": "Records of the run that are not reverted."})
    samples = fields.List(
        fields.Dict(),
        required=True,
        metadata={
            "description": "Each with `key`, `action` (nothing, remove, put_back, leave), `reason`, and `to`: what is put back."
        },
    )


class ReconcileNew(In):
    """How a job is reconciled."""

    repair = fields.Boolean(
        load_default=False, metadata={"description": "What is missing or differs is written, within the job's guards."}
    )


class ChangesQuery(PageQuery):
    """Which records of a run."""

    state = fields.String(load_default=None, validate=validate.OneOf(OUTCOMES))


class RecordChangeSchema(Out):
    """One record that a run wrote or removed."""

    key = fields.Raw(required=True)
    target_key = fields.Raw(required=True)
    before = fields.Raw(required=True, allow_none=True, metadata={"description": "What was there; null: nothing."})
    written = fields.Raw(required=True, allow_none=True, metadata={"description": "The record; null: it was removed."})
    at = Moment(required=True)
    kept_until = Moment(required=True)
    state = fields.String(required=True, metadata={"description": "Of its revert: open, reverted or left."})
    reason = fields.String(required=True, allow_none=True)
    reverted_by = fields.String(required=True, allow_none=True)


ChangePage = page_of(RecordChangeSchema)


class DifferencesQuery(PageQuery):
    """Which differences."""

    kind = fields.String(load_default=None, validate=validate.OneOf(KINDS))
    state = fields.String(load_default=None, validate=validate.OneOf(STATES))


class RecordDifferenceSchema(Out):
    """One record in which source and target are not at one."""

    kind = fields.String(required=True, metadata={"description": "missing, differing or surplus."})
    key = fields.Raw(required=True, allow_none=True)
    target_key = fields.Raw(required=True)
    fields_ = fields.List(
        fields.Dict(), required=True, data_key="fields", metadata={"description": "Each with field, from, to."}
    )
    state = fields.String(required=True, metadata={"description": "open, repaired or left."})
    reason = fields.String(required=True, allow_none=True)
    at = Moment(required=True)


RecordDifferencePage = page_of(RecordDifferenceSchema)


class WhySchema(Out):
    """Why a record of a target looks as it does."""

    job = fields.String(required=True)
    key = fields.Raw(required=True)
    state = fields.String(required=True, metadata={"description": "there, or gone when it was removed."})
    target_key = fields.Raw(required=True, allow_none=True)
    target_id = fields.String(required=True, allow_none=True)
    source_hash = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Of the row that it was made of; null after a revert: it is written when next read."},
    )
    mapping_version = fields.Integer(required=True, metadata={"description": "Of the definition that mapped it."})
    written_at = Moment(required=True)
    run = fields.Dict(required=True, metadata={"description": "The run that wrote it last: why, when, and by whom."})
    event = fields.Dict(required=True, allow_none=True, metadata={"description": "The event that asked for that run."})
    changes = fields.List(
        fields.Dict(), required=True, metadata={"description": "What runs did to it, newest first; at most 20."}
    )
    refused = fields.List(
        fields.Dict(),
        required=True,
        metadata={"description": "Rows of it that were refused, newest first; at most 20."},
    )
