"""The worker's part: runs that are due are claimed, a few more than are worked on, and each has a thread until it waits or has ended."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from server.flows import progress
from server.flows.calling import Calls
from server.flows.flow import Flow, flow_of
from server.flows.progress import TakenOver
from server.flows.recording import Recorder
from server.flows.starting import KIND
from server.flows.working import AtWork
from server.integrations.holding import Holding
from server.integrations.pinned import body_of
from server.kernel.errors import Failure, Unavailable, code
from server.kernel.lifecycle import HELD_STATES
from server.queue import claims
from server.store.scopes import scope_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.events.publishing import Publisher
    from server.flows.progress import Loaded
    from server.integrations.calls import Caller
    from server.integrations.making import Making
    from server.kernel.clock import Clock
    from server.queue.claims import Claim
    from server.store import Scope, Store

log = structlog.get_logger("crossdock.flows")
FLOW_POISON = code("FLOW_POISON", "The run was claimed again and again without an outcome; the worker's log says how.")
FLOW_DEFINITION_GONE = code(
    "FLOW_DEFINITION_GONE", "The definition that the run of a flow began with is not kept, or cannot be read any more."
)
AT_ONCE = 16
AHEAD = 16
"""Runs that are claimed and loaded while others are worked on."""
SLOW_SECONDS = 1.0
"""A run that is worked on for longer mostly waits for another system: others get a thread beside it."""
MOST_SLOW = 48
SLOW_OF_A_LANE = 8
"""A flow with so many slow runs here gets no more claimed until they are fewer."""
MOST_CLAIMS = 50
AWAKE_SECONDS = 3.0
LOOK_SECONDS = 0.01
_DUE = "SELECT EXISTS (SELECT FROM due WHERE kind = 'flow' AND NOT leased AND lane_limit > 0 AND due_at <= now())"
_FLOWS = 2_000
_SCOPES = 10_000
_STATE_SECONDS = 1.0
_LONGEST_PAUSE = 6


class Flows:
    """Works on runs. One per worker process."""

    def __init__(
        self,
        store: Store,
        ledger: Store,
        making: Making,
        caller: Caller,
        publisher: Publisher,
        clock: Clock,
        hint: Callable[[], None],
    ) -> None:
        self.store, self.publisher, self.clock, self.hint = store, publisher, clock, hint
        self._ledger = ledger
        self.recorder = Recorder(ledger)
        self.calls = Calls(store, making, caller)
        self.holding = Holding(store, KIND, AT_ONCE + AHEAD)
        self._loaded: queue.SimpleQueue[Loaded | None] = queue.SimpleQueue()
        self._feeding = threading.Lock()
        self._awake_until = 0.0
        self._stopped = threading.Event()
        self._waking = threading.Lock()
        self._watch: threading.Thread | None = None
        self._threads: set[threading.Thread] = set()
        self._counting = threading.Lock()
        self._at_work: dict[int, tuple[float, UUID]] = {}
        self._flows: dict[tuple[UUID, int], Flow | None] = {}
        self._scopes: dict[int, Scope] = {}
        self._rests: dict[UUID, tuple[float, bool]] = {}

    def drain(self) -> int:
        """Claim runs that are due, as far as there is room; return how many.

        Raises:
            Unavailable: the database is away.

        """
        with self._feeding:
            count = self._feed()
        if count:
            self._stay_awake()
        return count

    def _stay_awake(self) -> None:
        """Look for runs by ourselves for a while: where one is started others are soon."""
        self._awake_until = time.monotonic() + AWAKE_SECONDS
        with self._waking:
            if self._watch is None:
                self._watch = threading.Thread(target=self._look_on, daemon=True, name="flow-watch")
                self._watch.start()

    def _look_on(self) -> None:
        while True:
            self._stopped.wait(LOOK_SECONDS)
            with self._waking:
                if self.stopped or time.monotonic() > self._awake_until:
                    self._watch = None
                    return
            if self.holding.room >= AHEAD and self._due():
                self._refill()

    def _due(self) -> bool:
        try:
            with self._ledger.statements() as conn:  # by index: a backlog waits
                return bool(conn.exec_driver_sql(_DUE).scalar())
        except Unavailable:  # whoever claims says so
            return False

    def stop(self) -> None:
        """Claim nothing more; runs that are under way are given back after the step that they are at."""
        self._stopped.set()
        for _ in range(AT_ONCE + MOST_SLOW):
            self._loaded.put(None)

    @property
    def stopped(self) -> bool:
        """Whether runs are to be given back."""
        return self._stopped.is_set()

    def rests(self, run: Loaded) -> bool:
        """Say whether the flow of a run is paused: its runs stop after the step that they are at."""
        known = self._rests.get(run.flow_id)
        now = time.monotonic()
        if known is None or known[0] < now:
            with self.store.connect() as conn:
                state = conn.exec_driver_sql(
                    "SELECT state FROM flows WHERE workspace_id = %s AND id = %s", (run.workspace_id, run.flow_id)
                ).scalar()
            if len(self._rests) >= _FLOWS:
                self._rests.clear()
            known = self._rests[run.flow_id] = (now + _STATE_SECONDS, state in HELD_STATES)
        return known[1]

    def _feed(self) -> int:
        slow = self._slow()
        self.holding.most = AT_ONCE + AHEAD + slow.total()
        self._begin_threads(self._loaded.qsize(), slow.total())
        room = 0 if self.stopped else self.holding.room
        lanes = [lane for lane, count in slow.items() if count >= SLOW_OF_A_LANE]
        mine = self.holding.take(room, lanes) if room else []
        if not mine:
            return 0
        try:
            with self.store.connect() as conn:
                loaded = progress.load(conn, mine)
                for each in loaded:
                    self._know(conn, each)
                gone = {each.ref for each in mine} - {each.id for each in loaded}
                claims.finish(conn, KIND, [each for each in mine if each.ref in gone])
        except BaseException:  # whatever it is: what is not begun must not be renewed
            for claim in mine:
                self.holding.let_go(claim)
            raise
        for claim in mine:
            if claim.ref in gone:
                self.holding.let_go(claim)
        for each in loaded:
            self._loaded.put(each)
        self._begin_threads(len(loaded), slow.total())
        if self.stopped:
            self._give_back()
        return len(mine)

    def _give_back(self) -> None:
        """Give back what was claimed while we were told to stop: the threads may have ended, and it would be ours for ever."""
        waiting = []
        with suppress(queue.Empty):
            while True:
                waiting.append(self._loaded.get_nowait())
        mine = [each.claim for each in waiting if each is not None]
        for _ in range(len(waiting) - len(mine)):
            self._loaded.put(None)
        try:
            if mine:
                with self.store.connect() as conn:
                    claims.postpone(conn, KIND, mine, [self.clock.now()] * len(mine), uncount=True)
        finally:
            for claim in mine:
                self.holding.let_go(claim)

    def _know(self, conn: Connection, run: Loaded) -> None:
        """Read the definition and the workspace of a run, if they are not known yet."""
        key = (run.flow_id, run.definition_version)
        if key not in self._flows:
            if len(self._flows) >= _FLOWS:
                self._flows.clear()
            body = body_of(conn, run.workspace_id, "flow", run.flow_id, run.definition_version)
            self._flows[key] = None if body is None else _read(body)
        if run.workspace_id not in self._scopes:
            if len(self._scopes) >= _SCOPES:
                self._scopes.clear()
            self._scopes[run.workspace_id] = scope_of(conn, run.workspace_id)

    def _slow(self) -> Counter[UUID]:
        """Return how many runs of each lane have been worked on for long, those that more threads are begun for."""
        since = time.monotonic() - SLOW_SECONDS
        with self._counting:
            return Counter(lane for began, lane in sorted(self._at_work.values())[:MOST_SLOW] if began < since)

    def _begin_threads(self, wanted: int, slow: int) -> None:
        with self._counting:
            for _ in range(min(wanted, AT_ONCE + slow - len(self._threads))):
                thread = threading.Thread(target=self._work, daemon=True, name="flow")
                self._threads.add(thread)
                thread.start()

    def _one_too_many(self) -> bool:
        """End this thread if what it was begun for is not slow any more."""
        if len(self._threads) <= AT_ONCE:
            return False
        slow = self._slow().total()
        with self._counting:
            ends = len(self._threads) > AT_ONCE + slow
            if ends:
                self._threads.discard(threading.current_thread())
        return ends

    def _work(self) -> None:
        while not self._one_too_many():
            run = self._loaded.get()
            if run is None:
                return
            with self._counting:
                self._at_work[threading.get_ident()] = (time.monotonic(), run.flow_id)
            try:
                self._one(run)
            except TakenOver:
                log.info("another worker has taken the run over", run=run.run.id)
            except Unavailable as error:  # its lease ends, and it is due again
                log.warning("a run waits", code=error.code, run=run.run.id)
            except Exception:  # the border of one run: what breaks it must not stop the others
                log.exception("a run broke", run=run.run.id, flow=run.flow_name)
                self._put_off(run.claim)
            finally:
                self.holding.let_go(run.claim)
                with self._counting:
                    del self._at_work[threading.get_ident()]
            self._refill()

    def _one(self, run: Loaded) -> None:
        flow = self._flows.get((run.flow_id, run.definition_version))
        if flow is None:
            with self.store.connect() as conn:
                self._know(conn, run)
            flow = self._flows[run.flow_id, run.definition_version]
        run.run.deadline = run.run.deadline or (
            self.clock.now() + timedelta(seconds=flow.timeout) if flow is not None else None
        )
        at_work = AtWork(self, run, flow or Flow(run.flow_name, ()), self._scopes[run.workspace_id])
        if flow is None:
            message = "the definition that the run began with is not kept, or cannot be read any more"
            at_work.abandon(Failure(FLOW_DEFINITION_GONE, message, "flow"))
        elif run.claim.claims > MOST_CLAIMS:
            at_work.abandon(Failure(FLOW_POISON, "claimed again and again without an outcome", "flow"))
        else:
            at_work.work()

    def _refill(self) -> None:
        """Claim more before all threads have nothing to do."""
        if self._loaded.qsize() < AHEAD // 2 and self._feeding.acquire(blocking=False):
            try:
                if self._feed():
                    self._awake_until = time.monotonic() + AWAKE_SECONDS
            except Unavailable as error:
                log.warning("no runs can be claimed for now", code=error.code)
            finally:
                self._feeding.release()

    def _put_off(self, claim: Claim) -> None:
        until = self.clock.now() + timedelta(seconds=2.0 ** min(claim.claims, _LONGEST_PAUSE))
        try:
            with self.store.connect() as conn:
                claims.postpone(conn, KIND, [claim], [until])
        except Unavailable as error:  # its lease ends, and it is due again
            log.warning("a run waits", code=error.code, run=str(claim.ref))


def _read(body: Mapping[str, Any]) -> Flow | None:
    """Return the flow; None for one that an older release took and this one cannot read: it stops its own runs alone."""
    try:
        return flow_of(body)
    except Exception:  # the border of one definition: runs of all others are claimed with its
        log.exception("a definition cannot be read", flow=body.get("name"))
        return None
