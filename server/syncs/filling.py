"""A sync job whose target is an inbound webhook: what its sender should have sent and did not is brought in its stead.

A record is the request's `body`, and where the map says so its `headers`, `params` and `query`. It goes by the webhook's own dedupe
keys, so a batch that comes again, or a sender that comes late, makes nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from server.events.admitting import Offered
from server.kernel.errors import Conflict, Permanent, Rejected, Retryable, code
from server.sdk.adapter import Operation
from server.sdk.positions import as_json
from server.sdk.targets import NO_OPTIONS, Target, WriteResult
from server.syncs.ends import SourceEnd, TargetEnd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from server.events.admitting import Admit, Admitted
    from server.integrations.calls import Caller
    from server.integrations.making import Making
    from server.sdk.context import Context
    from server.sdk.targets import Batch, Destination
    from server.store import Cause, Scope, Store, Tx
    from server.syncs.job import Job

REQUEST_SHAPE = code(
    "REQUEST_SHAPE", "The map makes no request: `body`, and perhaps `headers`, `params` and `query`, which hold texts."
)
WEBHOOK_GONE = code("WEBHOOK_GONE", "The inbound webhook that the sync job fills is not there any more.")
PARTS = ("body", "headers", "params", "query")
_ANY = {"type": "object"}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Filler:
    """What fills webhooks: where transactions begin, and the port of the webhooks."""

    store: Store
    admit: Admit


def ends_of(
    tx: Tx, making: Making, caller: Caller, job: Job, filler: Filler, *, within: float = inf
) -> tuple[SourceEnd, TargetEnd]:
    """Return both ends of a job, with the integrations as they are now; each question has their time-out, or `within` seconds.

    Raises:
        NotFound, Conflict: an integration is not there, rests, or lacks a secret.

    """
    source = making.named(tx, job.source.integration, job.source.operation, {}).within(within)
    if job.target.webhook is None:
        target = making.named(tx, job.target.integration, job.target.operation, {}).within(within)
        return SourceEnd(caller, source), TargetEnd(caller, target)
    filling = Filling(filler, job, tx.scope, tx.cause)
    return SourceEnd(caller, source), FillingEnd(caller, source, filling)


@dataclass(frozen=True, slots=True)
class FillingEnd(TargetEnd):
    """A target without an integration: nothing stands before it but its transactions, and the call is the source's."""

    filling: Filling

    def do(self, work: Callable[[Target, Context], T], seconds: float | None = None) -> T:
        """Ask the webhook; the context, which is of calls, is not looked at."""
        del seconds
        return work(self.filling, None)  # type: ignore[arg-type]


def offered_of(job: Job, record: Any) -> Offered:
    """Return the request that a record stands for; without a map the row is its body.

    Raises:
        Permanent: REQUEST_SHAPE.

    """
    if job.map is None:
        return Offered(body=as_json(record))
    wrong = sorted(str(name) for name in record if name not in PARTS)
    texts = [record.get(name) or {} for name in ("headers", "params")]
    bad = next((each for each in texts if not isinstance(each, dict) or not _are_texts(each)), None)
    if wrong or "body" not in record or bad is not None or not isinstance(record.get("query") or "", str):
        message = "the map makes no request: `body`, and perhaps `headers`, `params` and `query`, which hold texts"
        raise Permanent(message, code=REQUEST_SHAPE, source="mapping", unknown=wrong)
    headers, params = texts
    return Offered(body=as_json(record["body"]), headers=headers, params=params, query=record.get("query") or "")


def _are_texts(values: Mapping[str, Any]) -> bool:
    return all(isinstance(each, str) for each in values.values())


class Filling(Target):
    """Brings requests to one webhook: those that came already are unchanged."""

    operation = Operation(
        name="webhook.fill", about="Bring what a sender missed.", input_schema=_ANY, output_schema=_ANY
    )
    options_schema = NO_OPTIONS
    modes = frozenset({"insert_only"})

    def __init__(self, filler: Filler, job: Job, scope: Scope, cause: Cause) -> None:
        self._filler, self._job, self._scope, self._cause = filler, job, scope, cause
        self._webhook = job.target.webhook or ""

    def write(self, to: Destination, batch: Batch, context: Context) -> WriteResult:
        """Store what never came, all of the batch in one transaction.

        Raises:
            Permanent: the shape or the dedupe key of a request, or a webhook that is gone.
            Retryable: the definitions change just now.

        """
        del to, context
        done = self._offer([offered_of(self._job, each) for each in batch.records])
        ids = [str(each.request_id) for each in done]
        return WriteResult(unchanged=[no for no, each in enumerate(done) if each.duplicate], target_ids=ids)

    def known(self, records: Sequence[Mapping[str, Any]]) -> list[bool]:
        """Say of each request whether it came already; nothing of it is kept."""
        offered = [offered_of(self._job, each) for each in records]
        try:
            self._offer_for_nothing(offered)
        except _Undo as undone:
            return [each.duplicate for each in undone.done]
        return []

    def _offer_for_nothing(self, offered: Sequence[Offered]) -> None:
        with self._filler.store.begin(self._scope, self._cause) as tx:
            raise _Undo(self._filler.admit(tx, self._webhook, offered))

    def _offer(self, offered: Sequence[Offered]) -> list[Admitted]:
        try:
            with self._filler.store.begin(self._scope, self._cause) as tx:
                return self._filler.admit(tx, self._webhook, offered)
        except Conflict as error:
            raise Retryable(error.message, code=error.code, source="sync", after=1.0) from error
        except Rejected as error:
            gone = error.code == "NOT_FOUND"
            raise Permanent(error.message, code=WEBHOOK_GONE if gone else error.code, source="sync") from error


class _Undo(Exception):
    """Ends a transaction of which nothing is to be kept."""

    def __init__(self, done: list[Admitted]) -> None:
        super().__init__()
        self.done = done
