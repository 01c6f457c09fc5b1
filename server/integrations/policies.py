"""The policy of an integration: time-out, retry, breaker and rate. Presets by name; a definition may replace any figure.

Retries: N retries are N + 1 calls, delay n = min(initial x 2^n, max) x (1 + jitter x random[0, 1)). Failures of the breaker
are consecutive, one failure while half-open opens it again, a time-out is a failure. All times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from server.kernel.policies import RetrySchedule, parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class BreakerFigures:
    """After `failures` in a row it opens; after `reset` one probe goes; after `successes` in a row it closes."""

    failures: int
    successes: int
    reset: float


@dataclass(frozen=True, slots=True)
class RateFigures:
    """`capacity` calls at once, and `per_second` after that."""

    capacity: int
    per_second: float


@dataclass(frozen=True, slots=True)
class Policy:
    """How an integration is called. `named` when its definition says so, and not just by default.

    `concurrency` is how many calls may be under way at the same time over all processes; None: any number.
    """

    timeout: float
    retry: RetrySchedule
    breaker: BreakerFigures
    rate: RateFigures | None = None
    concurrency: int | None = None
    named: bool = False


def _preset(
    timeout: float, breaker: BreakerFigures, retry: tuple[int, float, float, float], rate: RateFigures | None = None
) -> Policy:
    retries, initial, most, jitter = retry
    return Policy(timeout, RetrySchedule.exponential(retries, initial, 2, most, jitter), breaker, rate)


_GATEWAY = (15.0, BreakerFigures(10, 3, 30), (5, 0.5, 10.0, 0.15))
PRESETS: dict[str, Policy] = {
    "default": _preset(30, BreakerFigures(5, 1, 60), (2, 1, 1, 0)),
    "sales-system": _preset(30, BreakerFigures(5, 2, 60), (3, 1, 30, 0.1), RateFigures(100, 10)),
    "erp-system": _preset(45, BreakerFigures(3, 2, 120), (5, 2, 60, 0.2), RateFigures(50, 5)),
    "e-signature": _preset(60, BreakerFigures(5, 3, 300), (3, 1, 30, 0.1), RateFigures(20, 2)),
    "communication-gateway": _preset(*_GATEWAY),
    "sms-gateway": _preset(*_GATEWAY, RateFigures(50, 10)),
    "email-gateway": _preset(*_GATEWAY, RateFigures(100, 20)),
}


def policy_of(body: Mapping[str, Any]) -> Policy:
    """Return the policy of a checked Integration's body."""
    written = body.get("policy")
    if written is None:
        return PRESETS["default"]
    if isinstance(written, str):
        return replace(PRESETS[written], named=True)
    policy = replace(PRESETS[written.get("preset", "default")], named=True)
    if "timeout" in written:
        policy = replace(policy, timeout=parse_duration(written["timeout"]))
    if "retry" in written:
        policy = replace(policy, retry=_retry(written["retry"], policy.retry))
    if "breaker" in written:
        policy = replace(policy, breaker=_breaker(written["breaker"], policy.breaker))
    if "rate_limit" in written:
        policy = replace(policy, rate=rate_of(written["rate_limit"]))
    if "concurrency" in written:
        policy = replace(policy, concurrency=int(written["concurrency"]))
    return policy


def rate_of(written: Mapping[str, Any]) -> RateFigures:
    """Return the figures of a checked `rate_limit`."""
    return RateFigures(int(written["capacity"]), float(written["per_second"]))


def _retry(written: Mapping[str, Any], preset: RetrySchedule) -> RetrySchedule:
    """`attempts` counts tries: one more than there are pauses. What is not written, the preset says."""
    first = preset.delays[0] if preset.delays else 1.0
    return RetrySchedule.exponential(
        int(written.get("attempts", preset.tries)) - 1,
        parse_duration(written["initial"]) if "initial" in written else first,
        float(written.get("multiplier", 2)),
        parse_duration(written["max"]) if "max" in written else max(preset.delays, default=first),
        float(written.get("jitter", preset.jitter)),
    )


def _breaker(written: Mapping[str, Any], preset: BreakerFigures) -> BreakerFigures:
    return BreakerFigures(
        int(written.get("failures", preset.failures)),
        int(written.get("successes", preset.successes)),
        parse_duration(written["reset"]) if "reset" in written else preset.reset,
    )
