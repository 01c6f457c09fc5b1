"""The delivery engine: claims due deliveries, sends them on one event loop, records outcomes in batches.

Nothing sleeps between tries and no transaction is open while a request is under way:
claim (lease) → load → render, sign, send → outcome → one statement per batch. A kill loses nothing: what was claimed and
not yet recorded is due again when its lease ends. Database work runs in threads, so that the loop only moves bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from server.events.upcasting import Ladders
from server.kernel.errors import CrossdockError, Failure, Retryable, Unavailable
from server.kernel.stacks import stack_of
from server.queue import claims
from server.queue.claims import HEARTBEAT_SECONDS, Claimer
from server.telemetry import traces
from server.webhooks import fanouts, queries, recording
from server.webhooks.job import Job
from server.webhooks.pace import LATE_SECONDS, Pace, SlowLanes, Unwatched
from server.webhooks.targets import TARGET_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.queue.claims import Claim
    from server.store import Scope, Store
    from server.webhooks.pace import Watch
    from server.webhooks.queries import Outcome
    from server.webhooks.sending import Sending
    from server.webhooks.targets import Key, Targets

log = structlog.get_logger("crossdock.webhooks")
IN_FLIGHT = 1000
BATCH = 100
FLUSH_ROWS = 100
FLUSH_SECONDS = 0.02
ENOUGH = 150  # with that many being sent more is claimed only while the loop keeps up
_ROOM_SECONDS = 0.05
_WORTH_ASKING = 5  # so many that have ended make room in lanes; for fewer the next look comes soon enough
_AWAY_SECONDS = 0.5
_NEXT_SUSPECT_SECONDS = 0.2
_SUSPECTS_SHARE = (
    4  # of so many one goes at a time: the guilty one is alone after a few rounds, and the others soon through
)
_LEDGER_THREADS = 3  # one each to claim, to record and to renew


class After(Protocol):
    """What follows from recorded outcomes, outside of their transaction."""

    def __call__(self, outcomes: Sequence[Outcome], jobs: Mapping[UUID, Job]) -> None:
        """Act on outcomes whose lease was still ours."""
        ...


class Deliveries:
    """Drains due deliveries on the loop that runs it. `wake` may be called from any thread."""

    def __init__(
        self,
        store: Store,
        targets: Targets,
        sending: Sending,
        worker: str,
        after: After,
        watch: Watch | None = None,
    ) -> None:
        self.store = store
        self.targets = targets
        self.sending = sending
        self.worker = worker
        self.after = after
        self.jobs: dict[UUID, Job] = {}
        self.outcomes: list[Outcome] = []
        self.slow = SlowLanes()
        self.pace = Pace(watch or Unwatched())
        self.ladders = Ladders()
        self._claimer = Claimer(queries.KIND)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._some = asyncio.Event()
        self._ready = asyncio.Event()
        self._stopping = False
        self._more = False  # whether there was as much to claim as there was room for
        self._waiting = False  # whether claims left something behind
        self._fanning = False  # whether fan-outs may be due
        # Threads of their own: look-ups and gates that hang fill the loop's, and leases must be renewed all the same.
        self._ledger = ThreadPoolExecutor(_LEDGER_THREADS, thread_name_prefix="ledger")

    @property
    def awake(self) -> bool:
        """Tell whether events have come lately, so that we look for work without being rung for."""
        return self.pace.awake

    def wake(self) -> None:
        """Look for work now."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._rung)

    def fan_out(self) -> int:
        """Look for fan-outs too, from now on until there are none; called from any thread. What that does comes later: 0."""
        self._fanning = True
        self.wake()
        return 0

    def _rung(self) -> None:
        if not self.pace.awake:
            self._fanning = True  # the hint may be of one; while events come, the chores look for them
        self.pace.busy()
        self.pace.ring()

    def stop(self) -> None:
        """Claim nothing more; what is in flight ends and is recorded."""
        self._stopping = True
        self.wake()

    async def run(self) -> None:
        """Work until `stop`, and then until everything in flight is recorded.

        Raises:
            Exception: a loop of ours broke; the process must end, and its leases with it.

        """
        self._loop = asyncio.get_running_loop()
        helpers = [asyncio.create_task(self._flush_loop()), asyncio.create_task(self._heartbeat_loop())]
        claiming = asyncio.create_task(self._claim_loop())
        try:
            done, _ = await asyncio.wait([claiming, *helpers], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (claiming, *helpers):
                task.cancel()
            await asyncio.gather(claiming, *helpers, return_exceptions=True)
            await self.sending.close()
            self._ledger.shutdown(wait=False)

    async def _book(self, work: Callable[..., Any], *values: Any) -> Any:
        """Do database work of ours in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._ledger, work, *values)

    async def _claim_loop(self) -> None:
        while not self._stopping:
            if not await self._claim():
                await self.pace.rest()
        while self.jobs:  # noqa: ASYNC110 - the flush loop empties it; nobody signals that
            await asyncio.sleep(FLUSH_SECONDS)

    async def _claim(self) -> bool:
        """Claim and start what there is room for; tell whether it is worth asking again at once."""
        if self._room(self._late()) < BATCH or (len(self._tasks) >= ENOUGH and not await self.pace.keeps_up()):
            await self.pace.room(_ROOM_SECONDS)
        late = self._late()
        wanted = min(self._room(late), BATCH)
        if wanted <= 0:
            return True
        try:
            jobs = await self._book(self._claim_batch, wanted, late)
        except Unavailable as error:
            log.warning("cannot claim", code=error.code)
            await asyncio.sleep(_AWAY_SECONDS)
            return False
        for job in jobs:
            self.jobs[job.claim.ref] = job
            task = asyncio.create_task(self._deliver(job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if jobs:
            self.pace.busy()
        self._more = self._fanning or len(jobs) == wanted
        return self._more

    @property
    def _crowded(self) -> bool:
        return len(self.jobs) > IN_FLIGHT // 2

    def _late(self) -> list[UUID]:
        """Return the lane of each job that is under way for so long that its answer will be late; nothing while there is room.

        The oldest come first in `jobs`; one that is claimed anew stays where it was, and hides those behind it until it is late too.
        """
        if not self._crowded:
            return []
        since = time.monotonic() - LATE_SECONDS
        return [job.claim.lane for job in takewhile(lambda job: job.began < since, self.jobs.values())]

    def _room(self, late: Sequence[UUID]) -> int:
        """Return how many may be claimed: what is late takes no place of others, up to as many again."""
        return min(IN_FLIGHT + len(late), 2 * IN_FLIGHT) - len(self.jobs)

    def _claim_batch(self, limit: int, late: Sequence[UUID] = ()) -> list[Job]:
        with self.store.statements() as conn:
            claimed, of_one = self._claim_due(conn, limit, late)
            if not claimed:
                return []
            rows = queries.load(conn, [each.ref for each in claimed], of_one)
            lost = [each for each in claimed if each.ref not in rows]
            if lost:
                claims.finish(conn, queries.KIND, lost)  # retention took the delivery away, or its event
            jobs = [Job(each, *rows[each.ref]) for each in claimed if each.ref in rows]
            for job in jobs:
                if job.event.schema_version is not None:
                    job.ladder = self.ladders.of(conn, job.row.workspace_id, job.row.routes_version, job.event.type)
            jobs = self._few_suspects(conn, jobs)
        self._prepare(jobs)
        return jobs

    def _claim_due(self, conn: Connection, limit: int, late: Sequence[UUID] = ()) -> tuple[list[Claim], int]:
        """Claim what waits, then what fan-outs owe; return the claims, and how many of them, at the end, are of one event.

        Behind a backlog a fan-out gets half of the room. Lanes of which many are `late` get no more; a few do not tell of a lane.
        """
        share = max(1, limit // 2) if self._fanning and self._waiting else limit
        stuck = [lane for lane, many in Counter(late).items() if many >= claims.LANE_LIMIT]
        slow = self.slow(crowded=self._crowded) + stuck
        claimed = self._claimer(conn, share, slow)
        self._waiting = len(claimed) == share
        if not self._fanning or len(claimed) == limit:
            return claimed, 0
        self._fanning = False  # whoever tells of another one meanwhile is not overruled
        taken = fanouts.take(conn, limit - len(claimed), self.sending.clock.now(), slow)
        if taken is None:
            return claimed, 0
        self._fanning = True
        return claimed + taken, len(taken)

    def _few_suspects(self, conn: Connection, jobs: list[Job]) -> list[Job]:
        """Keep few of those that may be what kills workers, and give the others back: they would die with it, and look alike."""
        suspects = [job for job in jobs if recording.suspect(job)]
        if not suspects:
            return jobs
        busy = any(recording.suspect(job) for job in list(self.jobs.values()))
        share = [] if busy else random.sample(suspects, max(1, len(suspects) // _SUSPECTS_SHARE))
        kept = {job.claim.ref for job in share}
        back = {job.claim.ref: job.claim for job in suspects if job.claim.ref not in kept}
        again = self.sending.clock.now() + timedelta(seconds=_NEXT_SUSPECT_SECONDS)
        claims.postpone(conn, queries.KIND, list(back.values()), [again] * len(back), uncount=True)
        return [job for job in jobs if job.claim.ref not in back]

    def _prepare(self, jobs: list[Job]) -> None:
        """Build the targets that are not known yet, those of a workspace together."""
        missing: defaultdict[Scope, dict[Key, Job]] = defaultdict(dict)
        for job in jobs:
            if not self.targets.known(job.target):
                missing[job.scope][job.target] = job
        for scope, wanted in missing.items():
            try:
                self.targets.build(scope, next(iter(wanted.values())).cause, list(wanted))
            except Exception as error:  # noqa: BLE001 - each delivery meets it by itself; what is claimed must not be dropped
                log.warning("cannot prepare", workspace=str(scope), error=type(error).__name__)

    async def _deliver(self, job: Job) -> None:
        try:
            outcome = recording.without_trying(job, self.sending.clock.now())
            if outcome is None:
                outcome = await self._attempt(job)
        except CrossdockError as error:
            outcome = recording.unsent(job, error.failure, self.sending.clock.now())
        except Exception as error:  # the border of one delivery: a fault of ours must not end the worker
            log.exception("delivery broke", delivery=str(job.claim.ref))
            outcome = recording.unsent(job, _fault(error, "delivering"), self.sending.clock.now())
        if outcome.attempt is not None:
            answered, spent = outcome.attempt.status is not None, outcome.attempt.timings.get("total", 0.0)
            self.slow.learn(job.claim.lane, answered=answered, milliseconds=spent)
        self.outcomes.append(outcome)
        self._some.set()
        if len(self.outcomes) >= min(FLUSH_ROWS, len(self.jobs)):  # a full batch, or all that is in flight
            self._ready.set()

    async def _attempt(self, job: Job) -> Outcome:
        target = self.targets.get(job.target)
        if target is None:
            await asyncio.to_thread(self.targets.build, job.scope, job.cause, [job.target])
            target = self.targets.get(job.target)
            if target is None:
                raise Retryable("what the webhook sends with could not be read", code=TARGET_UNKNOWN, source="delivery")
        if not traces.on():
            return await self.sending.attempt(job, target)
        with traces.span("webhook delivery", **_attributes(job)):
            return await self.sending.attempt(job, target)

    async def _flush_loop(self) -> None:
        while True:
            await self._some.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ready.wait(), FLUSH_SECONDS)
            self._some.clear()
            self._ready.clear()
            await self._flush()

    async def _flush(self) -> None:
        batch = self.outcomes
        self.outcomes = []
        if self._more and len(batch) >= _WORTH_ASKING:  # the next are claimed while these are recorded
            self.pace.ring()
        try:
            await self._book(self._record, batch)
        except Unavailable as error:
            log.warning("cannot record, trying again", code=error.code, outcomes=len(batch))
            self.outcomes = batch + self.outcomes
            self._some.set()
            await asyncio.sleep(_AWAY_SECONDS)
            return
        for outcome in batch:
            job = self.jobs.get(outcome.claim.ref)
            if (
                job is not None and job.claim.epoch == outcome.claim.epoch
            ):  # a short pause: it may be claimed anew already
                del self.jobs[outcome.claim.ref]
        if len(batch) >= _WORTH_ASKING and not self._more:  # there is room in their lanes again
            self.pace.ring()

    def _record(self, batch: list[Outcome]) -> None:
        try:
            won = recording.record(self.store, self.worker, batch, self.jobs)
        except Unavailable:
            raise
        except Exception as error:  # an outcome that cannot be stored must not take the others, nor the worker, with it
            if len(batch) > 1:
                log.warning("cannot store outcomes together", outcomes=len(batch), error=type(error).__name__)
                for outcome in batch:
                    self._record([outcome])
                return
            log.exception("cannot store an outcome as it is", delivery=str(batch[0].claim.ref))
            batch = [self._unstorable(batch[0], error)]
            won = recording.record(self.store, self.worker, batch, self.jobs)
        try:
            self.after([each for each in batch if each.claim.ref in won], self.jobs)
        except Unavailable as error:  # the outcomes are stored: what follows from them comes with the next ones
            log.warning("cannot follow up", code=error.code, outcomes=len(batch))
        except Exception:  # as above: nothing that follows is worth the deliveries that are in flight
            log.exception("cannot follow up", outcomes=len(batch))

    def _unstorable(self, outcome: Outcome, error: Exception) -> Outcome:
        """Return the outcome that stands for one which breaks the ledger: a failed try, shown as such."""
        return recording.unsent(self.jobs[outcome.claim.ref], _fault(error, "recording"), self.sending.clock.now())

    async def _heartbeat_loop(self) -> None:
        while True:
            started = time.monotonic()
            held = [job.claim for job in self.jobs.values()]
            if held:
                try:
                    await self._book(self._beat, held)
                except Unavailable as error:
                    log.warning("cannot renew leases", code=error.code, leases=len(held))
            await asyncio.sleep(max(0.1, HEARTBEAT_SECONDS - (time.monotonic() - started)))

    def _beat(self, held: list[Claim]) -> None:
        with self.store.statements() as conn:
            claims.heartbeat(conn, queries.KIND, held)


def _fault(error: Exception, doing: str) -> Failure:
    """Describe a fault of ours: its message may hold anything, so only its class and its places are kept."""
    message = f"{type(error).__name__} while {doing}"
    return Failure("INTERNAL", message, "delivery", {"stack": stack_of(error)}, retryable=True)


def _attributes(job: Job) -> dict[str, str]:
    return {
        "crossdock.workspace": str(job.scope),
        "crossdock.webhook": job.row.webhook_name,
        "crossdock.event.type": job.event.type,
        "crossdock.correlation_id": job.event.correlation_id,
    }
