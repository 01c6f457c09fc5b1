"""Key material of senders (key sets, certificates), got over the guarded transport and kept a while, per workspace.

What is kept serves for ten minutes; a scheme that meets an unknown key may ask anew, once a minute for one URL. While a
fresh one cannot be got, the old one serves for an hour. Names that senders choose cannot be made to flood others: a
workspace asks ten times a minute at most, and what failed is not asked again at once.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from server.kernel.errors import CrossdockError, Permanent, Retryable, Unavailable, code
from server.kernel.retryable import RETRYABLE_STATUS
from server.transport.limits import KIB, Limits
from server.transport.sync import Connections
from server.webhooks.verifiers.reading import refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.store import Scope
    from server.transport.addresses import AddressPolicy
    from server.webhooks.verifiers.scheme import Fetch

KEYS_UNAVAILABLE = code(
    "KEYS_UNAVAILABLE", "The sender's keys or certificate could not be got just now; the request may be sent again."
)
KEYS_REFUSED = code("KEYS_REFUSED", "The address of the sender's keys gives none.")

_LIMITS = Limits(total=5.0, dns=2.0, connect=3.0, tls=3.0, body=256 * KIB)
_FRESH = 600.0
_STALE = 3600.0
_AGAIN = 60.0
_FAILED = 10.0
_REFUSED = 60.0
_A_MINUTE = 60.0
_ASKED_A_MINUTE = 10
_KEPT = 32
_WORKSPACES = 1000
_POLICIES = 64
_PATIENCE = 6.0


@dataclass(slots=True)
class _Kept:
    """What stood at a URL, or why nothing did. Times are monotonic, in seconds."""

    body: bytes | None = None
    got: float = 0.0
    asked: float = float("-inf")
    failed: CrossdockError | None = None
    again: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class _Workspace:
    kept: OrderedDict[str, _Kept] = field(default_factory=OrderedDict)
    asked: deque[float] = field(default_factory=deque)


class KeyMaterial:
    """What the workspaces of one process have fetched; for many threads.

    `policy` tells what a workspace may reach; `get` asks the other side: (URL, policy) to the body of a 200.
    """

    def __init__(
        self,
        policy: Callable[[Scope], AddressPolicy],
        get: Callable[[str, AddressPolicy], bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._get = get or Asking().get
        self._clock = clock
        self._lock = threading.Lock()
        self._workspaces: OrderedDict[int, _Workspace] = OrderedDict()

    def of(self, scope: Scope) -> Fetch:
        """Return the `Fetch` of a workspace."""

        def fetch(url: str, *, anew: bool = False) -> bytes:
            return self._fetch(scope, url, anew=anew)

        return fetch

    def _fetch(self, scope: Scope, url: str, *, anew: bool) -> bytes:
        kept = self._entry(scope, url)
        now = self._clock()
        if kept.body is not None and now - kept.got < _FRESH and not (anew and now - kept.asked >= _AGAIN):
            return kept.body
        if not kept.lock.acquire(timeout=_PATIENCE):
            raise _unavailable("another request waits for it already")
        try:
            return self._renew(scope, url, kept, anew=anew)
        finally:
            kept.lock.release()

    def _renew(self, scope: Scope, url: str, kept: _Kept, *, anew: bool) -> bytes:
        """Ask, unless another thread just did, or a failure is fresh; the lock of the entry is held."""
        now = self._clock()
        age = now - kept.got
        if kept.body is not None and age < _FRESH and not (anew and now - kept.asked >= _AGAIN):
            return kept.body
        if kept.failed is not None and now < kept.again:
            return _old_or(kept, age, kept.failed)
        try:
            self._admit(scope, now)
            kept.asked = now
            body = self._get(url, self._policy(scope))
        except CrossdockError as error:
            kept.failed = error.with_traceback(None)
            kept.again = now + (_FAILED if error.retryable else _REFUSED)
            return _old_or(kept, age, kept.failed)
        kept.body, kept.got, kept.failed = body, now, None
        return body

    def _entry(self, scope: Scope, url: str) -> _Kept:
        with self._lock:
            mine = self._workspaces.setdefault(scope.workspace_id, _Workspace())
            self._workspaces.move_to_end(scope.workspace_id)
            if len(self._workspaces) > _WORKSPACES:
                self._workspaces.popitem(last=False)
            entry = mine.kept.get(url)
            if entry is None:
                if len(mine.kept) >= _KEPT:
                    # names that gave nothing go first, so that a sender's inventions never push out its real keys
                    empty = next((name for name, each in mine.kept.items() if each.body is None), None)
                    mine.kept.pop(empty if empty is not None else next(iter(mine.kept)))
                entry = mine.kept[url] = _Kept()
            mine.kept.move_to_end(url)
            return entry

    def _admit(self, scope: Scope, now: float) -> None:
        with self._lock:
            asked = self._workspaces.setdefault(scope.workspace_id, _Workspace()).asked
            while asked and now - asked[0] >= _A_MINUTE:
                asked.popleft()
            if len(asked) >= _ASKED_A_MINUTE:
                raise _unavailable("too many different ones were asked for in a minute")
            asked.append(now)


def _old_or(kept: _Kept, age: float, error: CrossdockError) -> bytes:
    if kept.body is not None and age < _STALE and error.retryable:
        return kept.body
    raise error.with_traceback(None)


def _unavailable(reason: str) -> Retryable:
    return Retryable(f"the sender's keys are not there: {reason}", code=KEYS_UNAVAILABLE, source="verify")


def key_material(fetch: Fetch, url: str, *, anew: bool = False) -> bytes:
    """Return what stands at a URL, for a scheme.

    Raises:
        Unavailable: KEYS_UNAVAILABLE: not now; the sender may come again.
        Unauthenticated: SIGNATURE_REFUSED: nothing to verify by will ever stand there.

    """
    try:
        return fetch(url, anew=anew)
    except Retryable as error:
        message = "the sender's keys could not be got just now"
        raise Unavailable(message, code=KEYS_UNAVAILABLE, source="verify", after=_FAILED, reason=error.code) from error
    except Permanent as error:
        raise refused(f"keys: {error.code}") from error


class Asking:
    """Asks over connections of ours, one set for each address policy; nothing of ours is shown, no redirect followed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: OrderedDict[int, tuple[AddressPolicy, Connections]] = OrderedDict()

    def get(self, url: str, policy: AddressPolicy) -> bytes:
        """Return the body of a 200.

        Raises:
            Retryable: not now.
            Permanent: not ever.

        """
        answer = self._of(policy).session(_LIMITS.total).get(url)
        if answer.status_code == HTTPStatus.OK:
            return answer.content
        reason = f"the status was {answer.status_code}"
        if answer.status_code in RETRYABLE_STATUS:
            raise _unavailable(reason)
        raise Permanent(f"the sender's keys are not there: {reason}", code=KEYS_REFUSED, source="verify")

    def _of(self, policy: AddressPolicy) -> Connections:
        with self._lock:
            known = self._connections.get(id(policy))
            if known is None:
                known = self._connections[id(policy)] = (policy, Connections(policy, _LIMITS))
                if len(self._connections) > _POLICIES:
                    self._connections.popitem(last=False)[1][1].close()
            return known[1]
