"""When a sync job runs: its nominal times, their spread, and what becomes of times that were missed. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, Literal

from server.kernel.policies import parse_duration
from server.syncs.cron import DEFAULT_ZONE, Cron, read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

Misfire = Literal["none", "latest", "all"]
Overlap = Literal["skip", "queue", "cancel"]
MISFIRES: tuple[Misfire, ...] = ("none", "latest", "all")
OVERLAPS: tuple[Overlap, ...] = ("skip", "queue", "cancel")
DEFAULT_MISFIRE: Misfire = "latest"
DEFAULT_OVERLAP: Overlap = "skip"
DEFAULT_GRACE = "1h"
ON_TIME = timedelta(seconds=60)
"""Later than that a time counts as missed: nobody was there to see it come."""
CATCH_UP = 100
"""So many missed times `misfire: all` makes good at once; the next tick goes on."""
_SAMPLE = 200
_BACK = tuple(timedelta(hours=hours) for hours in (1, 6, 26, 24 * 8, 24 * 35))


@dataclass(frozen=True, slots=True)
class Schedule:
    """A checked `schedule`. `grace` and `jitter` are spans."""

    cron: Cron
    misfire: Misfire = DEFAULT_MISFIRE
    overlap: Overlap = DEFAULT_OVERLAP
    grace: timedelta = timedelta(hours=1)
    jitter: timedelta = timedelta()

    def fires_at(self, job: UUID, nominal: datetime) -> datetime:
        """Return when a nominal time is carried out: up to `jitter` later, always the same for one job and time."""
        if not self.jitter:
            return nominal
        seed = hashlib.blake2b(job.bytes + nominal.isoformat().encode(), digest_size=8).digest()
        return nominal + self.jitter * (int.from_bytes(seed) / 2**64)


@dataclass(frozen=True, slots=True)
class Due:
    """What is due now: the nominal times to run, oldest first, those that were missed among them, and the next one.

    `dropped` is the first nominal time that is given up; None when none is.
    """

    run: tuple[datetime, ...]
    caught_up: frozenset[datetime]
    dropped: datetime | None
    following: datetime


def schedule_of(body: Mapping[str, Any] | None) -> Schedule | None:
    """Return the typed view of a checked `schedule`.

    Raises:
        CronError: it was not checked.

    """
    if body is None:
        return None
    return Schedule(
        read(body["cron"], body.get("timezone", DEFAULT_ZONE)),
        body.get("misfire", DEFAULT_MISFIRE),
        body.get("overlap", DEFAULT_OVERLAP),
        timedelta(seconds=parse_duration(body.get("grace", DEFAULT_GRACE))),
        timedelta(seconds=parse_duration(body.get("jitter", "0s"))),
    )


def due(schedule: Schedule, job: UUID, nominal: datetime, now: datetime) -> Due:
    """Decide about the time `nominal`, whose moment has come, and all that have come since.

    A time is on time up to a minute after it was due and runs whatever `misfire` says. Of those missed `none` runs none,
    `latest` the newest and `all` every one, as far as they lie within `grace`.
    """
    oldest = now - max(schedule.grace, ON_TIME) - schedule.jitter
    if schedule.misfire == "all":
        return _every(schedule, job, max(nominal, _from(schedule.cron, oldest)), nominal, now)
    latest = _latest(schedule, job, nominal, now)
    late = now - schedule.fires_at(job, latest)
    missed = late > ON_TIME
    runs = not missed or (schedule.misfire == "latest" and late <= schedule.grace)
    dropped = nominal if latest > nominal or not runs else None
    chosen = (latest,) if runs else ()
    return Due(chosen, frozenset(chosen if missed else ()), dropped, schedule.cron.after(latest))


def _from(cron: Cron, moment: datetime) -> datetime:
    """Return the first time at or after a moment."""
    return cron.after(moment - timedelta(microseconds=1))


def _every(schedule: Schedule, job: UUID, first: datetime, nominal: datetime, now: datetime) -> Due:
    chosen: list[datetime] = []
    at = first
    while len(chosen) < CATCH_UP and schedule.fires_at(job, at) <= now:
        chosen.append(at)
        at = schedule.cron.after(at)
    missed = frozenset(each for each in chosen if now - schedule.fires_at(job, each) > ON_TIME)
    return Due(tuple(chosen), missed, nominal if first > nominal else None, at)


def _latest(schedule: Schedule, job: UUID, nominal: datetime, now: datetime) -> datetime:
    """Return the newest time whose moment has come, not before `nominal`: from ever further back, so that few are counted."""
    if schedule.fires_at(job, schedule.cron.after(nominal)) > now:
        return nominal
    for back in _BACK:
        start = now - back
        if start <= nominal:
            break
        come = [each for each in schedule.cron.times(start, now) if schedule.fires_at(job, each) <= now]
        if come:
            return come[-1]
    found = nominal
    for each in schedule.cron.times(nominal, now):
        if schedule.fires_at(job, each) > now:
            break
        found = each
    return found


def shortest_interval(cron: Cron, moment: datetime) -> timedelta:
    """Return the shortest pause between the next times after a moment."""
    times = islice(cron.times(moment, datetime.max.replace(tzinfo=UTC)), _SAMPLE)
    return min(later - earlier for earlier, later in pairwise(times))
