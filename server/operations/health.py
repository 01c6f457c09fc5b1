"""Is it well? Every part is asked in parallel, within a time-out each, and the answers become one report.

`pass` all is healthy, any `fail` is unhealthy, else degraded. Readiness asks what the API itself needs; liveness asks nothing.
Answers of the instance's parts are kept a second and those of integrations fifteen, so that nobody is hammered through us.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from server.kernel.clock import rfc3339
from server.kernel.errors import CrossdockError
from server.telemetry.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from server.kernel.clock import Clock
    from server.operations.flights import Flight, Flights

Status = Literal["pass", "warn", "fail"]
PART_SECONDS = 2.0
EXTERNAL_SECONDS = 5.0
PART_FRESH = 1.0
EXTERNAL_FRESH = 15.0
INTEGRATIONS = "integrations"
_LIST = "list of integrations"
_MESSAGE = 300


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; the message is for people, without secrets or tenants' names."""

    status: Status
    message: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A finding and the milliseconds that it took."""

    status: Status
    latency: float
    message: str


@dataclass(frozen=True, slots=True)
class External:
    """Another system that a workspace depends on; `name` is `integration/erp`."""

    workspace_id: int
    name: str
    ask: Callable[[], Finding]


@dataclass(frozen=True, slots=True)
class Report:
    """The state of everything that was asked."""

    checks: Mapping[str, Checked]
    timestamp: str

    @property
    def status(self) -> str:
        """`healthy`, `degraded` or `unhealthy`."""
        found = {each.status for each in self.checks.values()}
        return "unhealthy" if "fail" in found else "healthy" if found <= {"pass"} else "degraded"

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON."""
        checks = {
            name: {"status": each.status, "latency": each.latency, "message": each.message}
            for name, each in sorted(self.checks.items())
        }
        return {"status": self.status, "checks": checks, "timestamp": self.timestamp}


class Health:
    """Asks. `parts` are the checks of this instance, `needed` the names of those without which the API is not ready.

    `externals` lists the systems that a workspace depends on, or with None those of all.
    """

    def __init__(
        self,
        parts: Mapping[str, Callable[[], Finding]],
        needed: Sequence[str],
        externals: Callable[[int | None], Sequence[External]],
        *,
        flights: Flights,
        clock: Clock,
        part_seconds: float = PART_SECONDS,
        external_seconds: float = EXTERNAL_SECONDS,
    ) -> None:
        self.parts = parts
        self.needed = needed
        self.externals = externals
        self.flights = flights
        self.clock = clock
        self.part_seconds = part_seconds
        self.external_seconds = external_seconds

    def live(self) -> Report:
        """Say that this process answers: it depends on nothing else."""
        return self._report({"process": Checked("pass", 0.0, "answers")})

    def ready(self) -> Report:
        """Say whether the API can do its work."""
        return self._report(self._wait_parts({name: self._part(name) for name in self.needed}))

    def instance(self) -> Report:
        """Ask everything; integrations only as counts, since anybody may see it."""
        checks, asked = self._all(None)
        found = self._wait_externals(asked)
        checks[INTEGRATIONS] = checks.get(INTEGRATIONS) or _summary(list(found.values()))
        return self._report(checks)

    def workspace(self, workspace_id: int) -> Report:
        """Ask everything that this workspace depends on, its integrations by name."""
        checks, asked = self._all(workspace_id)
        found = self._wait_externals(asked)
        return self._report(checks | {name: each for (_, name), each in found.items()})

    def _all(self, workspace_id: int | None) -> tuple[dict[str, Checked], dict[tuple[int, str], Flight | None]]:
        """Start every question; wait for the parts."""
        parts = {name: self._part(name) for name in self.parts}
        listing = self.flights.ask(f"{_LIST} {workspace_id}", partial(self.externals, workspace_id), PART_FRESH)
        asked: dict[tuple[int, str], Flight | None] = {}
        checks: dict[str, Checked] = {}
        if listing is None or not listing.wait(time.monotonic() + self.part_seconds) or listing.error is not None:
            checks[INTEGRATIONS] = Checked("warn", 0.0, "cannot be listed now")
        else:
            for each in listing.value:
                key = f"{each.workspace_id}:{each.name}"
                asked[each.workspace_id, each.name] = self.flights.ask(key, each.ask, EXTERNAL_FRESH)
        return checks | self._wait_parts(parts), asked

    def _part(self, name: str) -> Flight | None:
        return self.flights.ask(name, self.parts[name], PART_FRESH)

    def _wait_parts(self, flights: Mapping[str, Flight | None]) -> dict[str, Checked]:
        return {name: _checked(each, self.part_seconds) for name, each in flights.items()}

    def _wait_externals(self, flights: Mapping[tuple[int, str], Flight | None]) -> dict[tuple[int, str], Checked]:
        return {key: _checked(each, self.external_seconds) for key, each in flights.items()}

    def _report(self, checks: Mapping[str, Checked]) -> Report:
        return Report(dict(checks), rfc3339(self.clock.now()))


def _checked(flight: Flight | None, seconds: float) -> Checked:
    """Wait until the question is `seconds` old: one that hung before is not waited for again."""
    if flight is None:
        return Checked("warn", 0.0, "not asked: too many questions are under way")
    if not flight.wait(flight.started + seconds):
        return Checked("fail", round(seconds * 1000, 1), f"no answer within {seconds:g} s")
    latency = round(flight.seconds * 1000, 1)
    if isinstance(flight.error, CrossdockError):
        return Checked("fail", latency, _text(f"{flight.error.code}: {flight.error.message}"))
    if flight.error is not None:
        return Checked("fail", latency, f"broke: {type(flight.error).__name__}")
    finding: Finding = flight.value
    return Checked(finding.status, latency, _text(finding.message))


def _summary(found: Sequence[Checked]) -> Checked:
    """Sum integrations up without naming them."""
    if not found:
        return Checked("pass", 0.0, "none to ask")
    slowest = max(each.latency for each in found)
    failing = sum(each.status == "fail" for each in found)
    warned = sum(each.status == "warn" for each in found)
    status: Status = "fail" if failing else "warn" if warned else "pass"
    return Checked(status, slowest, f"{len(found)} asked, {failing} failing, {warned} degraded")


def _text(message: str) -> str:
    return redact_text(message)[:_MESSAGE]
