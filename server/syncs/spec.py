"""The declaration of a SyncJob: source, mapping and target, on a schedule and on events."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from server.documents.expressions import ExpressionText
from server.documents.fields import Field, Keyed, ListOf, Object, OneOf
from server.documents.kinds import ACTIVE, Kind, head_fields
from server.documents.retrying import growing
from server.documents.scalars import Boolean, Choice, Duration, EventTypeName, Integer, Number, Text
from server.documents.values import Reference
from server.integrations.fallback import CallName
from server.queue.claims import PRIORITIES
from server.syncs import job
from server.syncs.check import check_job
from server.syncs.cron import DEFAULT_ZONE
from server.syncs.dry_run import TESTS, run_tests
from server.syncs.fields import CronText, CursorValue, End, Span, Yes, ZoneName
from server.syncs.reference_fields import RecordMap
from server.syncs.schedule import DEFAULT_GRACE, DEFAULT_MISFIRE, DEFAULT_OVERLAP, MISFIRES, OVERLAPS
from server.syncs.two_way_fields import check_two_way, two_way_field

if TYPE_CHECKING:
    from server.documents.checking import Checker
    from server.documents.nodes import MappingNode

_FIELD = Text(200, about="the name of a field")
_PERCENT = Number(Decimal(0), Decimal(100))
_PAUSE = Duration("1ms", "1d")

_CURSOR = Object(
    (
        Field("kind", Choice(job.KINDS), "What the cursor holds.", default=job.DEFAULT_KIND),
        Field(
            "fields",
            ListOf(_FIELD, 1, 5),
            "The fields of a row by which it is known to be new, the decisive one first; several together break ties.",
            example="[updated_at, id]",
        ),
        Field("initial", CursorValue(), "Where the very first run begins; without it, with all rows."),
        Field("until", CursorValue(), "Where it ends, for good: for filling up what lies in the past."),
        Field("lookback", Span(), "How far each run begins before the end of the last: for what was committed late."),
        Field("settle", Span(), "What is younger than that is left for the next run."),
        Field("step", Span(), "How much one window of a run holds, where it has much to make up for."),
        Field(
            "missing",
            Choice(job.MISSINGS),
            "What becomes of rows that have no value in the cursor: left out, read every time, or the run fails.",
            default=job.DEFAULT_MISSING,
        ),
    ),
    name="cursor",
)
_SOURCE = End(
    "source",
    Object(
        (
            Field("call", CallName(), "The operation that reads; its options stand beside it.", required=True),
            Field("primary_key", ListOf(_FIELD, 1, 10), "The fields that tell one row from another."),
            Field(
                "cursor",
                _CURSOR,
                "Where the last run ended; without one every run reads all rows, and compares hashes.",
            ),
            Field("partitions", Integer(1, 64), "In how many parts it is read, two at a time.", default=1),
        ),
        name="source",
    ),
)
_DELETE = Object(
    (
        Field(
            "detect",
            Choice(job.DETECTS),
            "How what is gone is found: a `flag` of its row, a `tombstone` of the source, or a `key_snapshot`: the keys of the "
            "source against those that were written.",
            required=True,
        ),
        Field("when", ExpressionText(job.PLACE), "The flag: rows for which this holds are deleted."),
        Field("every", Duration("1m", "365d"), "How often key snapshots are taken.", default=job.DEFAULT_EVERY),
        Field("action", Choice(job.ACTIONS), "What is done with them.", default=job.DEFAULT_ACTION),
        Field(
            "max_percent",
            _PERCENT,
            "Above that share of the records known the run fails: a `key_snapshot` and `mirror` have deleted nothing then, a `flag` and "
            "a `tombstone` nothing of the page that would go above it.",
            default=job.DEFAULT_DELETE_PERCENT,
        ),
    ),
    name="delete",
)
_SKIP_UNCHANGED = Field(
    "skip_unchanged", Boolean(), "Records that are as they were written last are not sent.", default=True
)
_FILLED = Object(
    (
        Field(
            "webhook",
            Reference("Webhook"),
            "An inbound webhook with a `dedupe.key`, instead of `call`: what its sender should have sent and did not is mapped by it. "
            "A record is the request: `body`, and perhaps `headers`, `params`, `query`; without a map the row is its body.",
            required=True,
            example="shop-orders",
        ),
        _SKIP_UNCHANGED,
    ),
    name="target",
)
_CALLED = End(
    "target",
    Object(
        (
            Field("call", CallName(), "The operation that writes; its options stand beside it.", required=True),
            Field(
                "mode",
                Choice(job.MODES),
                "What is done with a record; `replace` swaps everything at once, `mirror` also deletes what the source lacks.",
                default=job.DEFAULT_MODE,
            ),
            Field("match_on", ListOf(_FIELD, 1, 10), "The fields by which a record is found again over there."),
            _SKIP_UNCHANGED,
            Field("delete", _DELETE, "What becomes of records that the source has no more."),
            Field(
                "revertible",
                Duration("0s", "90d"),
                "So long a run can be reverted: what the target held before is read and kept. Without this it is 7d where the "
                "target reads many records at once, and never elsewhere; `0s` keeps nothing.",
            ),
        ),
        name="target",
    ),
)
_TARGET = OneOf((Keyed(("webhook",), _FILLED), _CALLED))
_SCHEDULE = Object(
    (
        Field(
            "cron",
            CronText(),
            "Minute, hour, day of the month, month, day of the week. Where hour and minute are fixed it runs once per local "
            "time, over clock changes too; otherwise it follows real time.",
            required=True,
            example='"*/15 6-22 * * 1-6"',
        ),
        Field("timezone", ZoneName(), "The time zone of the expression.", default=DEFAULT_ZONE),
        Field(
            "misfire",
            Choice(MISFIRES),
            "Which of the times run that came more than a minute ago, because nothing was there to see them.",
            default=DEFAULT_MISFIRE,
        ),
        Field("grace", Duration("1m", "30d"), "Missed times older than that are given up.", default=DEFAULT_GRACE),
        Field("jitter", Duration("0s", "1h"), "Up to that much later, different for each job, the same each time."),
        Field(
            "overlap",
            Choice(OVERLAPS),
            "What happens while a run is under way: the time is skipped, its run waits, or the other is cancelled. Missed times that "
            "`misfire: all` makes good always wait.",
            default=DEFAULT_OVERLAP,
        ),
    ),
    name="schedule",
)
_ON_EVENT = OneOf(
    (
        Keyed(
            ("one",),
            Object(
                (
                    Field(
                        "one",
                        ExpressionText(job.EVENT_PLACE),
                        "The primary key of the one record that is synced (a list for several fields).",
                        required=True,
                    ),
                ),
                name="on_event",
            ),
        ),
        Object((Field("run", Yes(), "`true`: a whole run is started.", required=True),), name="on_event"),
    )
)
_GUARDS = Object(
    (
        Field(
            "max_error_percent",
            _PERCENT,
            "Above that share of refused records the run stops.",
            default=job.DEFAULT_ERROR_PERCENT,
        ),
        Field(
            "max_change_percent",
            _PERCENT,
            "Above that share of changed ones among the records known the run stops before it writes.",
            default=job.DEFAULT_CHANGE_PERCENT,
        ),
    ),
    name="guards",
)


def _check(root: MappingNode, checker: Checker) -> None:
    check_job(root, checker)
    check_two_way(root, checker)


SYNC_JOB = Kind(
    "SyncJob",
    "Source, mapping, target, on a schedule and on events. With neither it runs when a person says so.",
    Object(
        (
            *head_fields("SyncJob"),
            ACTIVE,
            Field("schedule", _SCHEDULE, "When it runs."),
            Field(
                "events",
                ListOf(EventTypeName(wildcards=True, pins=True), 1, 100),
                "It runs also when one of these happens. Events of an older version come as the newest, by its `upcast`; "
                "`order.created@1` asks for version 1 and nothing newer.",
            ),
            Field("on_event", _ON_EVENT, "What an event does; without this it starts a whole run."),
            Field("source", _SOURCE, "Where rows come from.", required=True),
            Field("map", RecordMap(job.PLACE), "The record made of a row; without it the row is the record."),
            Field("target", _TARGET, "Where records go.", required=True),
            two_way_field(_CURSOR),
            Field(
                "batch",
                Object(
                    (
                        Field(
                            "size",
                            Integer(1, 10_000),
                            "Records written together, and the cursor with them.",
                            default=job.DEFAULT_BATCH,
                        ),
                    ),
                    name="batch",
                ),
                "How much is done at once.",
            ),
            Field(
                "on_record_error",
                Choice(job.ON_ERRORS),
                "What becomes of a record that is refused: the run fails, it is left out, or kept as a dead letter.",
                default=job.DEFAULT_ON_ERROR,
            ),
            Field(
                "schema_drift",
                Choice(job.DRIFTS),
                "What happens when rows bring a new field, lose one, or one changes its type, after a run has succeeded: it is noted "
                "and told by an event, the run fails before it writes, such rows are dead letters, or new fields are left out.",
                default=job.DEFAULT_DRIFT,
            ),
            Field("guards", _GUARDS, "What stops a run before it does damage."),
            Field("retry", growing(job.RETRY), "When a batch is repeated that failed in a way that may pass."),
            Field(
                "priority",
                Choice(tuple(PRIORITIES)),
                "Which runs go first when more wait than can run.",
                default=job.DEFAULT_PRIORITY,
            ),
            Field("tests", TESTS, "Given rows, which records are made."),
        ),
        name="a SyncJob",
    ),
    check=_check,
    test=run_tests,
)
