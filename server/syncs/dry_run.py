"""The `tests:` of a sync job: given rows, which records are made, and which are refused. No network, secret or server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl

from server.documents.comparing import differences
from server.documents.fields import MISSING_KEY, Field, ListOf, MappingOf, Object
from server.documents.kinds import Outcome
from server.documents.nodes import ListNode
from server.documents.scalars import EventTypeName, Integer, Text
from server.documents.values import FreeJson
from server.kernel.errors import CrossdockError
from server.syncs.filling import offered_of
from server.syncs.job import job_of
from server.syncs.pairs import pair_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.documents.catalog import Catalog
    from server.documents.checking import Checker
    from server.documents.kinds import Definition
    from server.documents.nodes import MappingNode
    from server.kernel.errors import Failure
    from server.syncs.job import Job

_RUN = {"id": "run_test", "cause": "person", "started_at": "2026-01-01T00:00:00Z", "nominal": None}


def _something_expected(node: MappingNode, checker: Checker) -> None:
    if not node.entries and not node.broken:
        checker.error(
            MISSING_KEY,
            node,
            "a test that expects nothing always passes: write records, refused, deleted, back or events",
        )


_EVENT = Object(
    (
        Field("type", EventTypeName(), "Its type.", required=True),
        Field("subject", Text(512), "Its subject."),
        Field("data", FreeJson(), "All of its data."),
        Field("id", Text(256), "Its id."),
    ),
    name="an expected event",
)
_ROWS = ListOf(FreeJson(mapping=True), most=1000)
TESTS = ListOf(
    Object(
        (
            Field("name", Text(200), "What the test shows, as a sentence.", required=True),
            Field(
                "given",
                Object(
                    (
                        Field("rows", _ROWS, "Rows as the source hands them out.", required=True),
                        Field("run", MappingOf(FreeJson()), "What `run` holds, where the map reads it."),
                        Field("target_rows", _ROWS, "Of a two-way job: rows as the target is read."),
                    ),
                    name="given",
                ),
                "The rows.",
                required=True,
            ),
            Field(
                "expect",
                Object(
                    (
                        Field("records", _ROWS, "Every record that is made, in the order of the rows."),
                        Field(
                            "refused",
                            ListOf(
                                Object(
                                    (
                                        Field("row", Integer(0, 999), "The number of the row, from 0.", required=True),
                                        Field("code", Text(100), "The code of the error."),
                                    ),
                                    name="a refused row",
                                )
                            ),
                            "Every row of which no record can be made; `[]` for none.",
                        ),
                        Field(
                            "deleted",
                            ListOf(Integer(0, 999)),
                            "The numbers of the rows that say by their flag that they are gone.",
                        ),
                        Field(
                            "back", _ROWS, "Every record for the source that is made of `target_rows`, in their order."
                        ),
                        Field(
                            "events",
                            ListOf(_EVENT, most=1000),
                            "Of a job that fills a webhook: every event that the webhook makes of the records, in their order.",
                        ),
                    ),
                    rules=(_something_expected,),
                    name="expect",
                ),
                "What must come of them.",
                required=True,
            ),
        ),
        name="a test",
    ),
    most=200,
)


class Emitted(Protocol):
    """Tells which events an inbound webhook makes of a request: a port, since webhooks are another room."""

    def __call__(
        self, body: Mapping[str, Any], given: Mapping[str, Any], catalog: Catalog, /
    ) -> Sequence[dict[str, Any]]:
        """Return the events with type, subject, data and id.

        Raises:
            Permanent: the request becomes a dead letter.

        """
        ...


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a job makes of rows: the records, the rows that are refused with why, and the rows that are gone."""

    records: tuple[Any, ...]
    refused: Mapping[int, Failure]
    deleted: tuple[int, ...]


def dry_run(job: Job, rows: Sequence[Mapping[str, Any]], run: Mapping[str, Any] | None = None) -> DryRun:
    """Map rows; `run` stands over made-up values of the run."""
    about = {**_RUN, "job": job.name, **(run or {})}
    records: list[Any] = []
    refused: dict[int, Failure] = {}
    deleted: list[int] = []
    for number, row in enumerate(rows):
        scope = {"row": dict(row), "run": about}
        try:
            if job.gone is not None and job.gone.run(scope) is True:
                deleted.append(number)
            else:
                record = dict(row) if job.compiled is None else job.compiled.run(scope)
                if job.target.webhook is not None:
                    offered_of(job, record)
                records.append(record)
        except CrossdockError as error:
            refused[number] = error.failure
    return DryRun(tuple(records), refused, tuple(deleted))


def run_tests(definition: Definition, catalog: Catalog, emitted: Emitted | None = None) -> list[Outcome]:
    """Run the tests of a checked sync job; `emitted` tells which events a webhook makes of a request."""
    job = job_of(definition.body)
    nodes = definition.node.get("tests")
    items = nodes.items if isinstance(nodes, ListNode) else []
    outcomes = []
    for node, case in zip(items, definition.body.get("tests", []), strict=True):
        played = dry_run(job, case["given"]["rows"], case["given"].get("run"))
        found = (
            *_compare(case["expect"], played),
            *_compare_back(job, case),
            *_compare_events(job, case["expect"], played, catalog, emitted),
        )
        outcomes.append(Outcome(definition.label, case["name"], node.source.file, node.line, node.col, found))
    return outcomes


def _compare(expect: Mapping[str, Any], played: DryRun) -> list[str]:
    found: list[str] = []
    if "records" in expect:
        found += differences("records", expect["records"], list(played.records))
    if "deleted" in expect:
        found += differences("deleted", expect["deleted"], list(played.deleted))
    if "refused" in expect:
        wanted = {each["row"]: each.get("code") for each in expect["refused"]}
        actual = {row: why.code if wanted.get(row) else None for row, why in played.refused.items()}
        found += differences("refused", _named(wanted), _named(actual))
    if found or "refused" not in expect:
        found += [f"row {row} is refused: {why.code} {why.message}" for row, why in played.refused.items()]
    return found


def _compare_events(
    job: Job, expect: Mapping[str, Any], played: DryRun, catalog: Catalog, emitted: Emitted | None
) -> list[str]:
    """Play the webhook that the job fills on each record."""
    if "events" not in expect:
        return []
    if job.target.webhook is None or emitted is None:
        return ["events are for jobs whose target is a webhook"]
    bodies = list(catalog.bodies("Webhook", job.target.webhook))
    made: list[dict[str, Any]] = []
    for number, record in enumerate(played.records):
        offered = offered_of(job, record)
        given = {"json": offered.body, "headers": offered.headers, "params": offered.params}
        try:
            made += emitted(bodies[0], {**given, "query": dict(parse_qsl(offered.query))}, catalog) if bodies else []
        except CrossdockError as error:
            return [f"record {number} becomes a dead letter: {error.code} {error.message}"]
    wanted = expect["events"]
    if len(wanted) != len(made):
        told = [f"emitted: {each['type']} {each['subject'] or ''}" for each in made[:3]]
        return [f"events: expected {len(wanted)}, emitted {len(made)}", *told]
    return [
        each
        for number, (event, actual) in enumerate(zip(wanted, made, strict=True))
        for key, value in event.items()
        for each in differences(f"events[{number}].{key}", value, actual[key])
    ]


def _compare_back(job: Job, case: Mapping[str, Any]) -> list[str]:
    """Play the way back of a two-way job."""
    pair = pair_of(job)
    if pair is None:
        asked = "target_rows" in case["given"] or "back" in case["expect"]
        return ["target_rows and back are for jobs with two_way"] if asked else []
    played = dry_run(pair.back, case["given"].get("target_rows", ()), case["given"].get("run"))
    refused = [f"target row {row} is refused: {why.code} {why.message}" for row, why in played.refused.items()]
    return refused + (
        differences("back", case["expect"]["back"], list(played.records)) if "back" in case["expect"] else []
    )


def _named(rows: Mapping[int, str | None]) -> dict[str, str | None]:
    return {f"row {row}": rows[row] for row in sorted(rows)}
