"""Cron expressions by our own rules, in one time zone. Pure: croniter finds the next wall time, the clock is never asked.

- Hour and minute fixed in the text: once per local wall time. A time that a clock change leaves out fires at the first valid
  moment after it; one that comes twice fires the first time.
- A `*` or a step in either: real time. Every real minute fires whose local wall time matches.

Fields are numbers, names, ranges, lists and `*/n` or `a-b/n`; forms that mean another thing than they say (`59/15`, `6/1`),
seconds, `@daily`, `L`, `W` and `#` are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

from croniter import CroniterBadDateError, croniter

from server.documents.findings import nearest
from server.kernel.errors import code

if TYPE_CHECKING:
    from collections.abc import Iterator

CRON = code("CRON", "The cron expression cannot be read, would mean another thing than it says, or never comes.")
TIME_ZONE = code("TIME_ZONE", "There is no time zone of this name in the IANA database.")
LONGEST = 128
DEFAULT_ZONE = "UTC"
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_YEARS = 12  # 29 February comes within eight years, over 2100 too; what has not come by then never does
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_ITEM = re.compile(r"(?P<first>\*|[0-9a-z]+)(?:-(?P<last>[0-9a-z]+))?(?:/(?P<step>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class _Range:
    """One field: what it is called, from where to where it goes, and names for its numbers from `least` on."""

    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Range("minute", 0, 59),
    _Range("hour", 0, 23),
    _Range("day of the month", 1, 31),
    _Range("month", 1, 12, _MONTHS),
    _Range("day of the week", 0, 7, _DAYS),
)


class CronError(ValueError):
    """A text that is no cron expression or no time zone of ours; `code` is CRON or TIME_ZONE."""

    def __init__(self, message: str, code: str = CRON, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.suggestion = suggestion


def zone(name: str) -> ZoneInfo:
    """Return the time zone of that name.

    Raises:
        CronError: TIME_ZONE, there is none.

    """
    known = _zones()
    if name not in known:
        raise CronError(f"there is no time zone {name[:60]!r}", TIME_ZONE, nearest(name, sorted(known)))
    return ZoneInfo(name)


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


@dataclass(frozen=True)
class Cron:
    """A checked expression in a zone. Moments are aware, in UTC."""

    text: str
    zone: ZoneInfo

    @cached_property
    def fixed(self) -> bool:
        """Whether hour and minute are fixed in the text: then it fires once per wall time."""
        minute, hour = self.text.split()[:2]
        return not set("*/") & set(minute + hour)

    def after(self, moment: datetime) -> datetime:
        """Return the first time after a moment; the last answers are kept, since many jobs share a schedule."""
        return _after(self, moment)

    def find_after(self, moment: datetime) -> datetime:
        """Compute it."""
        return self._fixed_after(moment) if self.fixed else self._real_after(moment)

    def times(self, moment: datetime, until: datetime) -> Iterator[datetime]:
        """Yield every time after a moment, up to and with `until`."""
        found = self.after(moment)
        while found <= until:
            yield found
            found = self.after(found)

    def _fixed_after(self, moment: datetime) -> datetime:
        walls = croniter(self.text, _wall(moment, self.zone), max_years_between_matches=_YEARS)
        while True:
            found = _once(walls.get_next(datetime), self.zone)
            if found > moment:  # the second pass of a wall time that came twice lies behind us
                return found

    def _real_after(self, moment: datetime) -> datetime:
        """Go from one change of the offset to the next: in between wall time and real time run alike."""
        offset = _offset(moment, self.zone)
        walls = croniter(self.text, moment + offset, max_years_between_matches=_YEARS)
        while True:
            found: datetime = walls.get_next(datetime) - offset
            change = _first_change(moment, found, offset, self.zone)
            if change is None:
                return found
            moment, offset = change, _offset(change, self.zone)
            walls.set_current(change + offset - _SECOND, force=True)


@lru_cache(maxsize=16_384)
def _after(cron: Cron, moment: datetime) -> datetime:
    return cron.find_after(moment)


@lru_cache(maxsize=4096)
def read(text: str, zone_name: str = DEFAULT_ZONE) -> Cron:
    """Check an expression and a zone.

    Raises:
        CronError: what is wrong, as a sentence.

    """
    found = zone(zone_name)
    if len(text) > LONGEST:
        raise CronError(f"{LONGEST} characters are taken at most, found {len(text)}")
    fields = text.lower().split()
    if len(fields) != len(_FIELDS):
        more = "; seconds are not taken" if len(fields) == len(_FIELDS) + 1 else ""
        raise CronError(f"minute, hour, day of the month, month, day of the week are needed, found {len(fields)}{more}")
    for given, known in zip(fields, _FIELDS, strict=True):
        for item in given.split(","):
            _check_item(item, known)
    plain = " ".join(fields)
    try:
        croniter(plain, _FIRST, max_years_between_matches=_YEARS).get_next(datetime)
    except CroniterBadDateError as error:
        raise CronError(f"{text!r} never comes") from error
    return Cron(plain, found)


def _check_item(item: str, known: _Range) -> None:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise CronError(f"{item!r} is no {known.name}: a number, a range, a list, * and */n are taken")
    if match["first"] == "*" and match["last"] is not None:
        raise CronError(f"{item!r} is no {known.name}: a range goes from a number to a number")
    first = known.least if match["first"] == "*" else _number(match["first"], item, known)
    last = known.most if match["first"] == "*" else _number(match["last"] or match["first"], item, known)
    if last < first:
        raise CronError(f"the range {item!r} of the {known.name} ends before it begins; write it as two")
    if match["step"] is not None:
        _check_step(item, match, last - first, known)


def _check_step(item: str, match: re.Match[str], width: int, known: _Range) -> None:
    step = int(match["step"])
    if match["first"] != "*" and match["last"] is None:
        meant = f"{match['first']}-{known.most}/{step}"
        raise CronError(f"{item!r} does not say where it ends: write {match['first']}, or {meant}")
    if not 1 <= step <= max(width, 1):
        raise CronError(f"the step of {item!r} is not within its range")


def _number(text: str, item: str, known: _Range) -> int:
    value = known.names.index(text) + known.least if text in known.names else None
    if value is None and text.isdecimal() and text.isascii():
        value = int(text[:5])
    if value is None or not known.least <= value <= known.most:
        raise CronError(f"{item!r} is no {known.name}: {known.least} to {known.most} are taken")
    return value


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _wall(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the local wall time as if it were UTC: what croniter counts on."""
    return moment + _offset(moment, zone)


def _once(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the one moment of a wall time: the first where it comes twice, the first valid one after where it never comes."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    # In a gap fold 0 reads the clock of before, and so lands behind the change; fold 1 lands before it.
    if second < first:
        return _bisect(second, first, _offset(second, zone), zone)
    return first


def _first_change(moment: datetime, until: datetime, offset: timedelta, zone: ZoneInfo) -> datetime | None:
    """Return the first moment in (moment, until] whose offset is another; changes less than a day apart count as one."""
    at = moment
    while at < until:
        following = min(at + _DAY, until)
        if _offset(following, zone) != offset:
            return _bisect(at, following, offset, zone)
        at = following
    return None


def _bisect(low: datetime, high: datetime, offset: timedelta, zone: ZoneInfo) -> datetime:
    """Return the first second after `low` whose offset is not `offset`; that of `high` is not."""
    while high - low > _SECOND:
        middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
        if _offset(middle, zone) == offset:
            low = middle
        else:
            high = middle
    return high
