"""A call for which somebody waits: its policy's tries one after the other, and the fallback when they are used up.

A breaker that is open ends it at once: waiting for the reset is for work that can be due again.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from server.integrations.guards import CIRCUIT_OPEN
from server.kernel.errors import CrossdockError, Postponed, Retryable

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.integrations.calls import Caller
    from server.integrations.guards import Call
    from server.kernel.errors import Failure

    Instead = Callable[[CrossdockError], "Call | Constant"]

LEAST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Constant:
    """What a fallback gives without a call."""

    value: Any


@dataclass(frozen=True, slots=True)
class Called:
    """What a call gave. `fallback`: something else gave it, because of `error`; `tries` are those of the call itself."""

    output: Any
    tries: int = 1
    fallback: bool = False
    error: Failure | None = None


class Persisting:
    """Makes calls with the tries of their policy."""

    def __init__(self, caller: Caller, sleep: Callable[[float], None] = time.sleep) -> None:
        self.caller = caller
        self._sleep = sleep

    def call(self, call: Call, instead: Instead | None = None, *, within: float) -> Called:
        """Return what the call gave within so many seconds, or what `instead` makes of it.

        Raises:
            Retryable: the tries are used up, or the time is too short for the next; `details.tries` says how many there were.
            Postponed: nothing was sent by the last try: CIRCUIT_OPEN, THROTTLED, …; `details.last` is how the one before failed.
            Permanent: the call itself was refused.
            The fallback's own failure stands in `details.fallback` of each.

        """
        until = time.monotonic() + within
        try:
            return self._tries(call, until)
        except (Retryable, Postponed) as error:
            if instead is None or not helps(error):
                raise
            failed = error
        try:
            other = instead(failed)
            if isinstance(other, Constant):
                return Called(other.value, failed.details.get("tries", 0), fallback=True, error=failed.failure)
            output = self._tries(other, max(until, time.monotonic() + LEAST_SECONDS)).output
        except CrossdockError as error:
            failed.details = {**failed.details, "fallback": error.failure.as_dict()}
            raise failed from error
        self.caller.settle(call, output)
        return Called(output, failed.details.get("tries", 0), fallback=True, error=failed.failure)

    def _tries(self, call: Call, until: float) -> Called:
        last: Failure | None = None
        for number in count(1):
            left = max(until - time.monotonic(), 0.0)
            try:
                output = self.caller.call(replace(call, retry_count=number - 1, timeout=min(call.timeout, left)))
                return Called(output, number)
            except Postponed as error:
                error.details = {**error.details, "tries": number - 1}
                if last is not None:
                    error.details["last"] = last.as_dict()
                raise
            except Retryable as error:
                pause = _pause(call, number, error)
                if pause is None or time.monotonic() + pause >= until:
                    error.details = {**error.details, "tries": number}
                    raise
                last = error.failure
            self._sleep(pause)
        raise AssertionError("unreachable")


def helps(error: CrossdockError) -> bool:
    """Say whether a fallback is for this: the breaker is open, or the tries are used up."""
    return isinstance(error, Retryable) or (isinstance(error, Postponed) and error.code == CIRCUIT_OPEN)


def _pause(call: Call, number: int, error: Retryable) -> float | None:
    """Return the seconds until the next try: the policy's, or longer when the other side says so; None: it was the last."""
    if call.link is None:
        return None
    planned = call.link.policy.retry.pause(number, random.random())  # noqa: S311 - spreads load, keeps no secret
    return None if planned is None else max(planned.total_seconds(), error.after or 0.0)
