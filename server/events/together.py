"""Publish together what is published at the same time: the requests that wait while one transaction commits share the next.

A transaction costs a request five round trips and half of its CPU. Under load they are shared; a request that is alone goes at
once, as ever. One that fails fails alone: the others of its transaction are then done one by one, each by its own thread.
Requests wait as threads do (`publish`) or as an event loop does (`offer`), in one line: whoever is first in it leads. Those of an event
loop need no transaction of ours where they are plain (`at_once`).
"""

from __future__ import annotations

import abc
import threading
from collections import deque
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from server.events.at_once import Request
from server.kernel.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextvars import Context

    from server.events.at_once import AtOnce
    from server.events.envelope import NewEvent, Published
    from server.events.publishing import Publisher
    from server.store import Cause, Scope, Store, Tx

    Prepare = Callable[[Tx], Sequence[NewEvent]]
    Lead = Callable[[], None]

T = TypeVar("T")
LEADERS = 2
"""Transactions of one publisher under way at once: while one waits for the disk the next is made."""
MOST = 50
"""Requests in one transaction."""
LARGE = 20
"""Events of a request that has its own transaction: it gains nothing, and would hold the others up."""
WAIT_SECONDS = 45.0


@dataclass(slots=True, eq=False)
class _Member(abc.ABC, Generic[T]):
    """One request. `batch` is set when it is its turn to lead; `alone` when it must go by itself."""

    cause: Cause
    batch: list[_Member[Any]] | None = None
    alone: bool = False
    error: Exception | None = None
    made: list[T] = field(default_factory=list)

    @abc.abstractmethod
    def prepare(self, tx: Tx) -> Sequence[NewEvent]:
        """Return what it publishes."""

    @abc.abstractmethod
    def finish(self, tx: Tx, published: list[Published]) -> T:
        """Return what is made of it, before the transaction commits."""

    @abc.abstractmethod
    def lead(self, work: Lead) -> None:
        """Be called to do the work of `batch`."""

    @abc.abstractmethod
    def tell(self) -> None:
        """Be told that the work was done, by oneself or by another."""


@dataclass(slots=True, eq=False, kw_only=True)
class _Waiting(_Member[T]):
    """One whose thread waits, and leads by itself; what it does in the transaction it does in its own context."""

    begins: Prepare
    ends: Callable[[Tx, list[Published]], T]
    context: Context = field(default_factory=copy_context)
    woken: threading.Event = field(default_factory=threading.Event)

    def prepare(self, tx: Tx) -> Sequence[NewEvent]:
        """Run what was given for it."""
        return self.context.copy().run(self.begins, tx)

    def finish(self, tx: Tx, published: list[Published]) -> T:
        """Run what was given for it."""
        return self.context.copy().run(self.ends, tx, published)

    def lead(self, _: Lead) -> None:
        """Wake up: it sees its batch."""
        self.woken.set()

    def tell(self) -> None:
        """Wake up."""
        self.woken.set()


@dataclass(slots=True, eq=False, kw_only=True)
class Offer(_Member[T]):
    """One that an event loop offers: a thread leads for it, which `submit` gives the work to, and which calls `told`.

    Then `made` holds what `show` made of `news` as they are published, or `error` says why there is nothing.
    """

    news: Sequence[NewEvent]
    show: Callable[[list[Published]], T]
    submit: Callable[[Lead], object]
    told: Callable[[Offer[T]], None]

    def prepare(self, _: Tx) -> Sequence[NewEvent]:
        """Return them."""
        return self.news

    def finish(self, _: Tx, published: list[Published]) -> T:
        """Show them."""
        return self.show(published)

    def lead(self, work: Lead) -> None:
        """Let a thread do it."""
        self.submit(work)

    def tell(self) -> None:
        """Pass it on."""
        self.told(self)


@dataclass(slots=True)
class _Line:
    """Who waits, of one publisher."""

    waiting: deque[_Member[Any]] = field(default_factory=deque)
    leaders: int = 0


class Together:
    """Publishes for many threads. Only requests of one workspace and principal share a transaction."""

    def __init__(
        self, store: Store, publisher: Publisher, at_once: AtOnce, *, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self.store = store
        self.at_once = at_once
        self.wait_seconds = wait_seconds
        self.publisher = publisher
        self._lock = threading.Lock()
        self._lines: dict[tuple[int, str], _Line] = {}

    def publish(
        self, scope: Scope, cause: Cause, prepare: Prepare, finish: Callable[[Tx, list[Published]], T], count: int = 1
    ) -> T:
        """Publish what `prepare` returns, and return what `finish` makes of the answers, all in one transaction.

        Both may be called twice, and by another thread, in the context of this one; what they write is rolled back with what
        they failed in. `count` is about how many events it will be.

        Raises:
            Conflict, Invalid: as `Publisher.publish`, or `finish`; nothing of this request is stored then.
            Unavailable: the database is away, or too slow.

        """
        member = _Waiting(cause=cause, begins=prepare, ends=finish)
        if count > LARGE:
            return self._one(scope, member)
        key = (scope.workspace_id, cause.principal)
        self._queue(key, scope, member)
        if not member.woken.wait(self.wait_seconds) and self._leaves(key, member):
            raise too_slow()
        if member.batch is not None:
            self._lead(key, scope, member.batch)
        if member.error is not None:
            raise member.error
        return self._one(scope, member) if member.alone else member.made[0]

    def offer(self, scope: Scope, offer: Offer[Any]) -> None:
        """Let a request wait in the same line, without a thread; of at most LARGE events."""
        self._queue((scope.workspace_id, offer.cause.principal), scope, offer)

    def withdraw(self, scope: Scope, offer: Offer[Any]) -> None:
        """Take one out of the line that has waited too long; one whose turn has come is published all the same."""
        self._leaves((scope.workspace_id, offer.cause.principal), offer)

    def _queue(self, key: tuple[int, str], scope: Scope, member: _Member[Any]) -> None:
        with self._lock:
            line = self._lines.setdefault(key, _Line())
            line.waiting.append(member)
            if line.leaders >= LEADERS:
                return
            line.leaders += 1
            self._call(key, scope, line)

    def _call(self, key: tuple[int, str], scope: Scope, line: _Line) -> None:
        """Give the first that waits its turn to lead, with those behind it."""
        batch = [line.waiting.popleft() for _ in range(min(MOST, len(line.waiting)))]
        batch[0].batch = batch
        batch[0].lead(partial(self._lead, key, scope, batch))

    def _leaves(self, key: tuple[int, str], member: _Member[Any]) -> bool:
        """Stop waiting; False for one who has just been called to lead: without them nobody behind them would go on."""
        with self._lock:
            line = self._lines.get(key)
            if line is not None and member in line.waiting:
                line.waiting.remove(member)
            return member.batch is None

    def _lead(self, key: tuple[int, str], scope: Scope, batch: list[_Member[Any]]) -> None:
        """Do the work of a batch, and call the next to lead."""
        try:
            self._do(scope, batch)
        finally:
            with self._lock:
                line = self._lines[key]
                if line.waiting:
                    self._call(key, scope, line)
                else:
                    line.leaders -= 1
                    if not line.leaders:
                        del self._lines[key]
            for each in batch:
                if each.alone and isinstance(each, Offer):
                    each.lead(partial(self._by_itself, scope, each))
                else:
                    each.tell()

    def _by_itself(self, scope: Scope, offer: Offer[Any]) -> None:
        self._do(scope, [offer])
        offer.tell()

    def _do(self, scope: Scope, batch: Sequence[_Member[Any]]) -> None:
        """Publish what is plain at once, and all else together."""
        offers = [each for each in batch if isinstance(each, Offer)]
        left: Sequence[_Member[Any]] = self._at_once(scope, offers) if len(offers) == len(batch) else batch
        if left:
            self._in_one(scope, left)

    def _at_once(self, scope: Scope, batch: Sequence[Offer[Any]]) -> list[Offer[Any]]:
        """Return those that were not plain, of which nothing is stored."""
        try:
            published = self.at_once.publish(self.store, scope, [Request(each.cause, each.news) for each in batch])
        except Unavailable as error:
            _refuse(batch, error)
            return []
        except Exception:  # noqa: BLE001 - nothing is stored; whoever is to blame meets it again by itself
            return list(batch)
        left = []
        for each, made in zip(batch, published, strict=True):
            if made is None:
                left.append(each)
            else:
                each.made.append(each.show(made))
        return left

    def _in_one(self, scope: Scope, batch: Sequence[_Member[Any]]) -> None:
        if len(batch) == 1:
            try:
                batch[0].made.append(self._one(scope, batch[0]))
            except Exception as error:  # noqa: BLE001 - it is raised where its request waits, once the next one is called
                batch[0].error = error
            return
        made: list[Any] = []
        try:
            with self.store.begin(scope, batch[0].cause) as tx:
                news = [[_caused(new, each.cause) for new in each.prepare(tx)] for each in batch]
                answers = iter(self.publisher.publish(tx, [new for some in news for new in some]))
                made = [each.finish(tx, [next(answers) for _ in some]) for each, some in zip(batch, news, strict=True)]
        except Unavailable as error:
            _refuse(batch, error)
        except Exception:  # noqa: BLE001 - whoever is to blame meets it again by itself, and the others are spared it
            for each in batch:
                each.alone = True
        else:
            for each, result in zip(batch, made, strict=True):
                each.made.append(result)

    def _one(self, scope: Scope, member: _Member[T]) -> T:
        with self.store.begin(scope, member.cause) as tx:
            return member.finish(tx, self.publisher.publish(tx, list(member.prepare(tx))))


def _refuse(batch: Sequence[_Member[Any]], error: Unavailable) -> None:
    for each in batch:
        each.error = Unavailable(error.message, code=error.code, source=error.source, after=error.after)


def too_slow() -> Unavailable:
    """Return what one is told who has waited too long."""
    return Unavailable("the database takes too long", source="events", after=1)


def _caused(new: NewEvent, cause: Cause) -> NewEvent:
    """Write into an event what its own request says of it: the transaction has one cause, the requests in it have many."""
    return replace(
        new,
        correlation_id=new.correlation_id or cause.correlation_id,
        causation_id=new.causation_id or cause.causation_id,
    )
