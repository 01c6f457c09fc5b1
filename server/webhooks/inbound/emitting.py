"""What became of mapped requests, in the transaction of the caller: their events published, their states and dead letters kept.

One that is refused does not touch the others: each is checked against the catalogue by itself, and what the event store
refuses all the same is halved until the guilty one is alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from server.events import hops, loops
from server.events.catalogue import SCHEMA_VIOLATION
from server.events.envelope import BATCH_LIMIT
from server.events.hops import FIRST
from server.kernel.errors import CrossdockError, Failure, Permanent, Unavailable
from server.kernel.stacks import stack_of
from server.queue import dead_letters
from server.queue.dead_letters import DeadLetter
from server.store.values import write_json
from server.telemetry.redaction import redact, redact_text
from server.webhooks.inbound import guard
from server.webhooks.inbound.guard import VERSION_KIND, Asked
from server.webhooks.inbound.mapping import Mapped, Skipped
from server.webhooks.inbound.storing import KIND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from server.events.envelope import NewEvent
    from server.events.hops import Hop
    from server.events.publishing import Publisher
    from server.store import Tx
    from server.webhooks.inbound.answering import Answerer
    from server.webhooks.inbound.guard import Verdict

_RECORD = """
UPDATE inbound_requests r SET state = n.state, reason = n.reason, error = n.error, event_ids = r.event_ids || n.event_ids,
  finished_at = now()
FROM json_to_recordset(%(ended)s::json) AS n(id uuid, state text, reason text, error jsonb, event_ids text[])
WHERE r.id = n.id AND r.id = ANY(%(ids)s::uuid[]) AND r.workspace_id = %(workspace)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A stored request that is to be mapped, as far as its outcome needs it."""

    id: UUID
    webhook_id: UUID
    webhook: str
    definition_version: int
    round: int
    received_at: datetime
    correlation_id: str
    hop: Hop = FIRST


@dataclass(frozen=True, slots=True)
class Ready:
    """A request with what its mapping made of it, or why it failed: `reason` is the dead letter's then.

    `answering` is what makes its answer, and of what, where a sender waits for it.
    """

    work: Work
    made: Mapped | Skipped | None = None
    failure: Failure | None = None
    reason: str = "mapping"
    answering: tuple[Answerer, Mapping[str, Any]] | None = None


@dataclass(slots=True)
class Ended:
    """How a request has ended: `emitted`, `skipped`, `stale` or `dead`."""

    work: Work
    state: str
    reason: str | None = None
    error: Failure | None = None
    event_ids: list[str] = field(default_factory=list)
    events: Sequence[NewEvent] = ()


class Emitter:
    """Publishes what requests became."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher

    def emit(self, tx: Tx, ready: Sequence[Ready]) -> list[Ended]:
        """End requests, in their order, and keep how; all are of the workspace of the transaction, none has ended yet.

        Raises:
            Unavailable: the database is away; nothing of it counts.

        """
        ended: dict[UUID, Ended] = {}
        good: list[Ready] = []
        for each in ready:
            going = _carried_on(tx, each)
            early = self._without_publishing(tx, going)
            if early is None:
                good.append(going)
            else:
                ended[each.work.id] = early
        for part in _parts(good):
            ended |= {each.work.id: each for each in self._publish(tx, part)}
        outcomes = [ended[each.work.id] for each in ready]
        record(tx, outcomes)
        return outcomes

    def _without_publishing(self, tx: Tx, ready: Ready) -> Ended | None:
        """Return the end of a request that has nothing to publish."""
        if ready.failure is not None:
            return dead(ready.work, ready.reason, ready.failure)
        if isinstance(ready.made, Skipped):
            return Ended(ready.work, "skipped", ready.made.reason)
        try:
            self.publisher.catalogue.check(tx, _events(ready))
        except CrossdockError as error:
            if isinstance(error, Unavailable):
                raise
            return dead(ready.work, "schema", _placed(error.failure))
        return None

    def _publish(self, tx: Tx, ready: list[Ready]) -> list[Ended]:
        try:
            with tx.conn.begin_nested():
                return self._together(tx, ready)
        except Unavailable:
            raise
        except Exception as error:  # what refuses one request must not refuse those beside it: halve, down to one
            if isinstance(error, DBAPIError) and not _of_the_data(error):
                raise
            if len(ready) == 1:
                return [_refused(ready[0].work, error)]
            half = len(ready) // 2
            return [*self._publish(tx, ready[:half]), *self._publish(tx, ready[half:])]

    def _together(self, tx: Tx, ready: list[Ready]) -> list[Ended]:
        verdicts = guard.decide(tx, _asked(ready))
        ended: list[Ended] = []
        news: list[NewEvent] = []
        for each in ready:
            own = [verdicts.get((each.work.id, new.subject or "")) for new in _events(each)]
            going = [new for new, verdict in zip(_events(each), own, strict=True) if verdict is None or verdict.goes]
            ended.append(
                _end(each.work, going, [verdict for verdict in own if verdict is not None and not verdict.goes])
            )
            news += ended[-1].events
        if news:
            self.publisher.publish(tx, news)
        return ended


def _carried_on(tx: Tx, ready: Ready) -> Ready:
    """Return a request that comes back from one of our deliveries as part of the chain that it goes back to."""
    if not ready.work.hop.hops or not isinstance(ready.made, Mapped):
        return ready
    try:
        extensions, _ = hops.extended(tx, ready.work.hop, f"webhook/{ready.work.webhook}")
    except Permanent as error:
        return replace(ready, made=None, failure=error.failure, reason=loops.REASON)
    events = tuple(replace(each, extensions=extensions) for each in ready.made.events)
    return replace(ready, made=replace(ready.made, events=events))


def _end(work: Work, going: list[NewEvent], stopped: list[Verdict]) -> Ended:
    """Return how a request ends whose events may go on or not."""
    mixed = next((each for each in stopped if each.mixed), None)
    if mixed is not None and mixed.seen is not None:
        failure = Failure(
            VERSION_KIND,
            f"the version seen before is a {mixed.seen.kind}, and this is none",
            "mapping",
            {"pointer": ["version"], "seen": mixed.seen.text},
        )
        return dead(work, "mapping", failure)
    if stopped and not going:
        return Ended(work, "stale", "stale")
    return Ended(
        work, "emitted", "stale-in-part" if stopped else None, event_ids=[_id(each) for each in going], events=going
    )


def _asked(ready: Iterable[Ready]) -> Iterator[Asked]:
    for each in ready:
        if isinstance(each.made, Mapped) and each.made.version is not None:
            for subject in dict.fromkeys(new.subject for new in each.made.events):
                yield Asked(each.work.webhook_id, subject or "", each.made.version, each.work.id)


def _events(ready: Ready) -> Sequence[NewEvent]:
    return ready.made.events if isinstance(ready.made, Mapped) else ()


def _id(event: NewEvent) -> str:
    return event.id or ""


def _parts(ready: list[Ready]) -> Iterator[list[Ready]]:
    """Yield requests in parts that have as many events as one publication takes."""
    part: list[Ready] = []
    events = 0
    for each in ready:
        if part and events + len(_events(each)) > BATCH_LIMIT:
            yield part
            part, events = [], 0
        part.append(each)
        events += len(_events(each))
    if part:
        yield part


def _of_the_data(error: DBAPIError) -> bool:
    """Tell whether it is the values that the database refuses."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return isinstance(error, (DataError, IntegrityError)) or state.startswith(("22", "23", "54"))


def _refused(work: Work, error: Exception) -> Ended:
    if isinstance(error, CrossdockError):
        schema = error.code == SCHEMA_VIOLATION
        return dead(work, "schema" if schema else "refused", _placed(error.failure))
    message = f"{type(error).__name__} while publishing"
    return dead(work, "refused", Failure("INTERNAL", message, "events", {"stack": stack_of(error)}))


def _placed(failure: Failure) -> Failure:
    """Say in pointers of the definition which event it was: `/1/data/total` is `emitted` number 1."""
    details: dict[str, Any] = {**failure.details, "pointer": ["emit"]}
    return replace(failure, details=details)


def dead(work: Work, reason: str, failure: Failure) -> Ended:
    """Return: it will not be mapped again by itself. What failed may be a value of the request, and hold a credential."""
    details = {"definition": f"webhook/{work.webhook}", "version": work.definition_version, **failure.details}
    shown = replace(failure, message=_storable(redact_text(failure.message)), details=_storable(redact(details)))
    return Ended(work, "dead", reason, shown)


def _storable(value: Any) -> Any:
    """Return JSON that the database can keep: a request may hold NUL and halves of surrogate pairs."""
    if isinstance(value, str):
        return value.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_storable(key): _storable(each) for key, each in value.items()}
    return [_storable(each) for each in value] if isinstance(value, list) else value


def record(tx: Tx, ended: Sequence[Ended]) -> None:
    """Keep how requests have ended, and the dead letters of those that died, in two statements."""
    if not ended:
        return
    rows = [
        {
            "id": each.work.id,
            "state": each.state,
            "reason": each.reason,
            "error": each.error and each.error.as_dict(),
            "event_ids": each.event_ids,
        }
        for each in ended
    ]
    values = {"ended": write_json(rows), "ids": [each.work.id for each in ended], "workspace": tx.scope.workspace_id}
    tx.conn.exec_driver_sql(_RECORD, values)
    dead_letters.add(tx.conn, [_letter(tx, each, each.error) for each in ended if each.error is not None])


def _letter(tx: Tx, ended: Ended, error: Failure) -> DeadLetter:
    work = ended.work
    return DeadLetter(
        workspace_id=tx.scope.workspace_id,
        kind=KIND,
        ref=work.id,
        owner=f"webhook/{work.webhook}",
        owner_id=work.webhook_id,
        reason=ended.reason or "refused",
        error=error,
        attempts=work.round,
        first_attempt_at=work.received_at,
        correlation_id=work.correlation_id,
    )
