"""The declaration of a Flow: what starts it, its steps, and what undoes them."""

from __future__ import annotations

from server.documents.expressions import ExpressionText, MapValue
from server.documents.fields import Field, ListOf, Object
from server.documents.kinds import ACTIVE, Kind, head_fields
from server.documents.scalars import Choice, EventTypeName
from server.documents.values import JsonSchema
from server.flows import flow
from server.flows.check import check_flow
from server.flows.dry_run import TESTS, run_tests
from server.flows.fields import LONG
from server.flows.step_fields import MOST_STEPS, StepType
from server.queue.claims import PRIORITIES

START_PLACE = "flow_start"

FLOW = Kind(
    "Flow",
    "A saga: events or people start runs of steps across systems; what was done is undone, newest first, when a step fails for good.",
    Object(
        (
            *head_fields("Flow"),
            ACTIVE,
            Field(
                "events",
                ListOf(EventTypeName(wildcards=True, pins=True), 1, 100),
                "It is started when one of these happens; without them by a call alone.",
            ),
            Field("when", ExpressionText(START_PLACE), "Events for which this does not hold start no run."),
            Field(
                "idempotency_key",
                ExpressionText(START_PLACE),
                "One run per key: who comes with the same again gets that run. Freed when the run was compensated or cancelled.",
                example="data.order_id",
            ),
            Field("input", JsonSchema(), "What `data` must be when it is started by a call, or by another flow."),
            Field("timeout", LONG, "After that a run that has not ended is undone.", default=flow.DEFAULT_TIMEOUT),
            Field(
                "priority",
                Choice(tuple(PRIORITIES)),
                "Which runs go first when more wait than can run.",
                default=flow.DEFAULT_PRIORITY,
            ),
            Field(
                "steps",
                ListOf(StepType(), 1, MOST_STEPS),
                "What is done, one after the other. Each step does one thing: `call`, `for_each`, `emit`, "
                "`wait_for`, `sleep`, `parallel`, `choose`, `set`, `flow`, `approve` or `atomic`.",
                required=True,
            ),
            Field(
                "output", MapValue(flow.PLACE), "What a run answers: to its caller, and to a flow that it is a step of."
            ),
            Field("tests", TESTS, "Given an event and answers, which calls are made and how the run ends."),
        ),
        name="a Flow",
    ),
    check=check_flow,
    test=run_tests,
)
