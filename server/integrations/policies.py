"""The policy of an integration: time-out, retry, breaker and rate. Presets by name; a definition may replace any figure.

Retries: N retries are N + 1 calls, delay n = min(initial x 2^n, max) x (1 + jitter x random[0, 1)). Failures of the breaker
are consecutive, one failure while half-open opens it again, a time-out is a failure. All times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from server.kernel.policies import Growing, RetrySchedule, parse_duration

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
    """How an integration is called. `said` is what its definition says, by a preset's name or itself: `timeout`, `retry`.

    `concurrency` is how many calls may be under way at the same time over all processes; None: any number.
    """

    timeout: float
    retry: RetrySchedule
    breaker: BreakerFigures
    rate: RateFigures | None = None
    concurrency: int | None = None
    said: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Preset:
    timeout: float
    breaker: BreakerFigures
    pauses: Growing
    rate: RateFigures | None = None

    def policy(self) -> Policy:
        return Policy(self.timeout, self.pauses.schedule({}), self.breaker, self.rate)


def _pauses(retries: int, initial: str, most: str, jitter: str) -> Growing:
    return Growing(initial, most, retries + 1, jitter=Decimal(jitter))


_SYSTEM = _pauses(3, "1s", "30s", "0.1")
_GATEWAY = (15, BreakerFigures(10, 3, 30), _pauses(5, "500ms", "10s", "0.15"))
_PRESETS = {
    "default": _Preset(30, BreakerFigures(5, 1, 60), _pauses(2, "1s", "1s", "0")),
    "sales-system": _Preset(30, BreakerFigures(5, 2, 60), _SYSTEM, RateFigures(100, 10)),
    "erp-system": _Preset(45, BreakerFigures(3, 2, 120), _pauses(5, "2s", "60s", "0.2"), RateFigures(50, 5)),
    "e-signature": _Preset(60, BreakerFigures(5, 3, 300), _SYSTEM, RateFigures(20, 2)),
    "communication-gateway": _Preset(*_GATEWAY),
    "sms-gateway": _Preset(*_GATEWAY, RateFigures(50, 10)),
    "email-gateway": _Preset(*_GATEWAY, RateFigures(100, 20)),
}
PRESETS = {name: preset.policy() for name, preset in _PRESETS.items()}
_SAYABLE = frozenset({"timeout", "retry"})


def policy_of(body: Mapping[str, Any]) -> Policy:
    """Return the policy of a checked Integration's body."""
    written = body.get("policy")
    if written is None:
        return PRESETS["default"]
    if isinstance(written, str):
        return replace(PRESETS[written], said=_SAYABLE)
    name = written.get("preset", "default")
    said = _SAYABLE if "preset" in written else _SAYABLE & written.keys()
    policy = replace(PRESETS[name], said=said)
    if "timeout" in written:
        policy = replace(policy, timeout=parse_duration(written["timeout"]))
    if "retry" in written:
        policy = replace(policy, retry=_retry(written["retry"], _PRESETS[name].pauses))
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


def _retry(written: Mapping[str, Any], preset: Growing) -> RetrySchedule:
    """`attempts` counts tries: one more than there are pauses. What is not written, the preset says; no `max` is below `initial`."""
    initial = written.get("initial", preset.initial)
    most = written.get("max", max(preset.max, initial, key=parse_duration))
    return preset.schedule({**written, "max": most})


def _breaker(written: Mapping[str, Any], preset: BreakerFigures) -> BreakerFigures:
    return BreakerFigures(
        int(written.get("failures", preset.failures)),
        int(written.get("successes", preset.successes)),
        parse_duration(written["reset"]) if "reset" in written else preset.reset,
    )
