"""The shapes of runs over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marshmallow import fields, validate

from server.flows import paths
from server.flows.states import RUN
from server.kernel.ids import show
from server.store.values import read_json
from server.web.paging import PageQuery, page_of
from server.web.room import Flag, In, Json, Moment, Out, Text

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Row

MOST_STEPS = 200
"""So many steps stand in the answer of a run itself; the listing of its steps has all."""
_JSON = ("error", "data", "output")
_STEP_JSON = ("input", "result", "error", "note", "undo_error")


class FlowRunQuery(PageQuery):
    """Which runs."""

    state = fields.String(validate=validate.OneOf(sorted(RUN)), metadata={"description": "Only those in this state."})
    correlation_id = Text(most=256, least=1, metadata={"description": "Only those of this chain."})
    key = Text(most=500, least=1, metadata={"description": "Only those with this idempotency key."})


class AllRunsQuery(FlowRunQuery):
    """Which runs of which flow."""

    flow = Text(most=63, least=1, metadata={"description": "Only those of the flow of this name."})


class StartFlowSchema(In):
    """What a run is started with."""

    data = fields.Raw(
        load_default=dict,
        metadata={"description": "What its expressions see as `data`; the flow's `input` says its form."},
    )
    idempotency_key = Text(
        most=500,
        least=1,
        load_default=None,
        allow_none=True,
        metadata={
            "description": "One run per key; without it what the flow's own `idempotency_key` makes of the data."
        },
    )


class StartedSchema(Out):
    """The run that was started, or that has the key."""

    id = fields.String(required=True)
    duplicate = fields.Boolean(required=True, metadata={"description": "True: a run with this key was there already."})


class CancelSchema(In):
    """How a run is ended."""

    undo = Flag(load_default=True, metadata={"description": "Whether what it did is undone first."})


class RetryFlowSchema(In):
    """Where a run goes on."""

    from_step = Text(
        most=63,
        least=1,
        load_default=None,
        allow_none=True,
        metadata={"description": "A step of the flow itself: it and those behind it are undone and done again."},
    )


class DecisionSchema(In):
    """Why it was decided so."""

    comment = Text(most=2000, load_default=None, allow_none=True)


class FlowRunSchema(Out):
    """A run of a flow."""

    id = fields.String(required=True)
    flow = fields.String(required=True)
    state = fields.String(required=True, metadata={"description": f"{', '.join(RUN)}."})
    cause = fields.String(required=True, metadata={"description": "event, person or flow."})
    definition_version = fields.Integer(required=True)
    event_id = fields.String(required=True, allow_none=True, metadata={"description": "The event that started it."})
    event_type = fields.String(required=True, allow_none=True)
    key = fields.String(required=True, allow_none=True, metadata={"description": "Its idempotency key."})
    round = fields.Integer(required=True, metadata={"description": "One more each time that a person retried it."})
    error = Json(required=True, allow_none=True, metadata={"description": "Why it failed, or is being undone."})
    parent_run = fields.String(
        required=True, allow_none=True, metadata={"description": "The run whose step started it."}
    )
    parent_step = fields.String(required=True, allow_none=True)
    principal = fields.String(required=True)
    correlation_id = fields.String(required=True)
    cancelled_by = fields.String(required=True, allow_none=True)
    created_at = Moment(required=True)
    started_at = Moment(required=True, allow_none=True)
    deadline = Moment(
        required=True, allow_none=True, metadata={"description": "When it is undone if it has not ended."}
    )
    ended_at = Moment(required=True, allow_none=True)
    seconds = fields.Float(required=True, allow_none=True, metadata={"description": "From its start to its end."})


class StepSchema(Out):
    """One step of a run, or one item of it."""

    path = fields.String(required=True, metadata={"description": "`order`, `produce[0]`, `lines[0]/reserve`."})
    step = fields.String(required=True, metadata={"description": "Its id in the definition."})
    state = fields.String(required=True)
    round = fields.Integer(required=True)
    tries = fields.Integer(required=True)
    input = Json(required=True, allow_none=True)
    result = Json(required=True, allow_none=True)
    error = Json(required=True, allow_none=True)
    waits = Json(
        required=True,
        allow_none=True,
        metadata={"description": "What it waits for: `until`, `needed` and `arrived` events, `message` to a person."},
    )
    decision = Json(required=True, allow_none=True, metadata={"description": "What a person decided."})
    child_run = fields.String(required=True, allow_none=True, metadata={"description": "The run that it started."})
    undo_tries = fields.Integer(required=True)
    undo_error = Json(required=True, allow_none=True)
    began_at = Moment(required=True)
    ended_at = Moment(required=True, allow_none=True)
    undone_at = Moment(required=True, allow_none=True)
    seconds = fields.Float(required=True, allow_none=True)


class FlowRunWholeSchema(FlowRunSchema):
    """A run with its first steps."""

    data = Json(required=True, allow_none=True)
    output = Json(required=True, allow_none=True)
    steps = fields.List(
        fields.Nested(StepSchema),
        required=True,
        metadata={"description": f"The first {MOST_STEPS}, in the order in which they began."},
    )
    steps_total = fields.Integer(required=True)


class GraphSchema(Out):
    """A flow as a graph."""

    mermaid = fields.String(required=True, metadata={"description": "In the language of Mermaid."})


FlowRunPage = page_of(FlowRunSchema)
StepPage = page_of(StepSchema)


def shown(row: Row[Any]) -> dict[str, Any]:
    """Return a run as it is shown."""
    found = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's documented way to a mapping
    for name in _JSON:
        if name in found:
            found[name] = None if found[name] is None else read_json(found[name])
    return {
        **found,
        "id": show("run", found["id"]),
        "parent_run": None if found["parent_id"] is None else show("run", found["parent_id"]),
        "parent_step": found["parent_path"],
        "seconds": _seconds(found["started_at"], found["ended_at"]),
    }


def shown_step(row: Row[Any]) -> dict[str, Any]:
    """Return a step as it is shown."""
    found = dict(row._mapping)  # noqa: SLF001 - as above
    for name in _STEP_JSON:
        found[name] = None if found[name] is None else read_json(found[name])
    note = found.pop("note") or {}
    waits = {name: note[name] for name in ("until", "needed", "message") if name in note}
    if "needed" in waits:
        waits["arrived"] = found["arrived"]
    return {
        **found,
        "step": paths.step_of(found["path"]),
        "waits": waits if found["state"] == "waiting" and waits else None,
        "message": note.get("message"),
        "decision": note.get("decision"),
        "child_run": note.get("child"),
        "seconds": _seconds(found["began_at"], found["ended_at"]),
    }


def _seconds(began: datetime | None, ended: datetime | None) -> float | None:
    return round((ended - began).total_seconds(), 3) if began is not None and ended is not None else None
