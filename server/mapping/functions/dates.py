"""Dates and times as ISO 8601 text in and out: `2026-12-01`, `2026-12-01T08:30:00Z`. A time without offset is taken as UTC.

Patterns are made of `YYYY YY MM MMM DD HH mm ss SSS Z`; all else stands for itself. There is no `now`: a mapping gives the same for the
same event whenever it runs (`event.time` is when it happened).
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from server.mapping.decimals import exact, whole
from server.mapping.errors import Refused

from .base import Library

if TYPE_CHECKING:
    from server.mapping.budget import Budget

DATES = Library()
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TOKENS = {"YYYY": 4, "SSS": 3, "MMM": 3, "YY": 2, "MM": 2, "DD": 2, "HH": 2, "mm": 2, "ss": 2, "Z": 0}
_SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "weeks": 604800}
_MICROS = 1_000_000
_LONGEST = 64
_SHORT_OFFSET, _LONG_OFFSET = 5, 6


def read_date(text: str) -> date:
    """Read a date, or a datetime (aware; a subclass of date) when there is a time.

    Raises:
        Refused: EXPR_VALUE, not ISO 8601.

    """
    try:
        if len(text) <= 10:  # noqa: PLR2004  # a date alone: 2026-12-01
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text[: _LONGEST + 1])  # no ISO date is that long
    except ValueError as error:
        raise Refused("the text is not a date like 2026-12-01 or 2026-12-01T08:30:00Z", value=text) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_moment(text: str) -> datetime:
    """Read a date or datetime as a datetime; a date is its midnight in UTC. Errors as `read_date`."""
    value = read_date(text)
    return value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)


def write_date(value: date) -> str:
    """Write a date or datetime as ISO 8601, UTC as `Z`."""
    text = value.isoformat()
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text


def zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name.

    Raises:
        Refused: EXPR_VALUE, there is none.

    """
    try:
        return ZoneInfo(name[:_LONGEST])
    except (KeyError, ValueError, OSError) as error:  # ZoneInfo raises each of them for one kind of bad name
        raise Refused("there is no time zone of this name", value=name) from error


@lru_cache(maxsize=256)
def _parts(pattern: str) -> tuple[str, ...]:
    if len(pattern) > _LONGEST:
        raise Refused(f"a pattern has at most {_LONGEST} characters", value=pattern)
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        token = next((token for token in _TOKENS if pattern.startswith(token, at)), pattern[at])
        parts.append(token)
        at += len(token)
    return tuple(parts)


def format_with(value: date, pattern: str) -> str:
    """Write a date or datetime by a pattern.

    Raises:
        Refused: EXPR_VALUE, the pattern is too long.

    """
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)
    offset = write_date(moment)[-6:]
    shown = {
        "YYYY": f"{moment.year:04}",
        "YY": f"{moment.year % 100:02}",
        "MMM": _MONTHS[moment.month - 1],
        "MM": f"{moment.month:02}",
        "DD": f"{moment.day:02}",
        "HH": f"{moment.hour:02}",
        "mm": f"{moment.minute:02}",
        "ss": f"{moment.second:02}",
        "SSS": f"{moment.microsecond // 1000:03}",
        "Z": "Z" if offset.endswith("Z") else offset,
    }
    return "".join([shown.get(part, part) for part in _parts(pattern)])


def parse_with(text: str, pattern: str, in_zone: tzinfo = UTC) -> datetime:
    """Read a text by a pattern, from its first to its last character.

    Raises:
        Refused: EXPR_VALUE, it does not fit.

    """
    fields = {"YYYY": 1, "MM": 1, "DD": 1, "HH": 0, "mm": 0, "ss": 0, "SSS": 0}
    at, offset = 0, in_zone
    try:
        for part in _parts(pattern):
            if part == "Z":
                width = (
                    1 if text[at : at + 1] == "Z" else _LONG_OFFSET if text[at + 3 : at + 4] == ":" else _SHORT_OFFSET
                )
                offset = _offset(text[at : at + width])
            else:
                width = _TOKENS.get(part, len(part))
                _take(fields, part, text[at : at + width])
            at += width
        _take(fields, "", text[at:])
        moment = datetime(
            fields["YYYY"], fields["MM"], fields["DD"], fields["HH"], fields["mm"], fields["ss"], fields["SSS"] * 1000,
            tzinfo=offset,
        )  # fmt: skip
    except ValueError as error:
        raise Refused(f"the text is not of the form {pattern}", value=text) from error
    return moment


def _offset(text: str) -> tzinfo:
    zone_ = datetime.fromisoformat(f"2000-01-01T00:00:00{text}").tzinfo
    if zone_ is None:
        raise ValueError(text)
    return zone_


def _take(fields: dict[str, int], part: str, text: str) -> None:
    """Store one part of a parsed text; ValueError when it does not fit."""
    if part == "MMM":
        fields["MM"] = _MONTHS.index(text.title()) + 1
    elif part not in _TOKENS:
        if text != part:
            raise ValueError(text)
    elif len(text) != _TOKENS[part] or not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    elif part == "YY":
        fields["YYYY"] = 2000 + int(text)
    else:
        fields[part] = int(text)


def _moved(value: date, by: timedelta) -> str:
    try:
        return write_date(value + by)
    except OverflowError as error:
        raise Refused("the date lies beyond the years 1 to 9999", value=str(value)) from error


def _delta(value: Any, unit: int) -> timedelta:
    try:
        return timedelta(microseconds=int(exact(value) * unit * _MICROS))
    except OverflowError as error:
        raise Refused("the span is too long", value=value) from error


@DATES.add(
    "parse_date(text: text, pattern: text) -> text",
    "The date in a text of your pattern.",
    ("parse_date(d, 'DD.MM.YYYY')", {"d": "01.12.2026"}, "2026-12-01"),
    cost=60,
)
def _parse_date(_: Budget, text: str, pattern: str) -> str:
    return write_date(parse_with(text, pattern).date())


@DATES.add(
    "parse_datetime(text: text, pattern: text, zone?: text) -> text",
    "The moment in a text of your pattern; without an offset in it, in the time zone (UTC by default).",
    ("parse_datetime(d, 'YYYYMMDD HHmm', 'Asia/Almaty')", {"d": "20261201 0830"}, "2026-12-01T08:30:00+05:00"),
    cost=80,
)
def _parse_datetime(_: Budget, text: str, pattern: str, zone_name: str = "UTC") -> str:
    return write_date(parse_with(text, pattern, zone(zone_name)))


@DATES.add(
    "format_date(value: text, pattern: text, zone?: text) -> text",
    "The date or moment written by your pattern, in the time zone when one is given.",
    ("format_date(d, 'DD.MM.YYYY')", {"d": "2026-12-01T08:30:00Z"}, "01.12.2026"),
    cost=60,
)
def _format_date(_: Budget, value: str, pattern: str, zone_name: str | None = None) -> str:
    if zone_name is None:
        return format_with(read_date(value), pattern)
    return format_with(_in_zone(value, zone_name), pattern)


def _in_zone(value: str, zone_name: str) -> datetime:
    try:
        return read_moment(value).astimezone(zone(zone_name))
    except OverflowError as error:
        raise Refused("the date lies beyond the years 1 to 9999", value=value) from error


@DATES.add(
    "to_zone(value: text, zone: text) -> text",
    "The same moment, told in a time zone.",
    ("to_zone(d, 'Asia/Almaty')", {"d": "2026-12-01T08:30:00Z"}, "2026-12-01T13:30:00+05:00"),
    cost=60,
)
def _to_zone(_: Budget, value: str, zone_name: str) -> str:
    return write_date(_in_zone(value, zone_name))


@DATES.add(
    "to_date(value: text) -> text",
    "The day of a moment.",
    ("to_date(d)", {"d": "2026-12-01T08:30:00Z"}, "2026-12-01"),
    cost=30,
)
def _to_date(_: Budget, value: str) -> str:
    return write_date(read_moment(value).date())


@DATES.add(
    "add_days(value: text, days: number) -> text",
    "So many days later (earlier when negative).",
    ("add_days(d, 14)", {"d": "2026-12-20"}, "2027-01-03"),
    cost=30,
)
def _add_days(_: Budget, value: str, days: Any) -> str:
    return _moved(read_date(value), _delta(whole(days), 86400))


@DATES.add(
    "add_seconds(value: text, seconds: number) -> text",
    "So many seconds later; a date counts from its midnight in UTC.",
    ("add_seconds(d, 90)", {"d": "2026-12-01T08:30:00Z"}, "2026-12-01T08:31:30Z"),
    cost=30,
)
def _add_seconds(_: Budget, value: str, seconds: Any) -> str:
    return _moved(read_moment(value), _delta(seconds, 1))


@DATES.add(
    "add_months(value: text, months: number) -> text",
    "So many months later, on the last day of a month that is too short.",
    ("add_months(d, 1)", {"d": "2027-01-31"}, "2027-02-28"),
    cost=40,
)
def _add_months(_: Budget, value: str, months: Any) -> str:
    day = read_date(value)
    year, month = divmod(day.year * 12 + day.month - 1 + whole(months), 12)
    try:
        return write_date(day.replace(year=year, month=month + 1, day=min(day.day, monthrange(year, month + 1)[1])))
    except (ValueError, OverflowError) as error:
        raise Refused("the date lies beyond the years 1 to 9999", value=months) from error


@DATES.add(
    "date_diff(from: text, to: text, unit?: text) -> number",
    "How many whole `days` (or `seconds`, `minutes`, `hours`, `weeks`) lie between, negative when `to` is earlier.",
    ("date_diff(a, b)", {"a": "2026-12-01", "b": "2026-12-24"}, 23),
    cost=40,
)
def _date_diff(_: Budget, start: str, end: str, unit: str = "days") -> int:
    if unit not in _SECONDS:
        raise Refused(f"a unit is one of {', '.join(_SECONDS)}", value=unit)
    span = read_moment(end) - read_moment(start)
    count = abs(span) // timedelta(seconds=_SECONDS[unit])
    return count if span >= timedelta(0) else -count


@DATES.add(
    "to_timestamp(value: text) -> number",
    "Seconds since 1970, whole when they are.",
    ("to_timestamp(d)", {"d": "2026-12-01T08:30:00Z"}, 1796113800),
    cost=30,
)
def _to_timestamp(_: Budget, value: str) -> int | Decimal:
    micros = (read_moment(value) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return Decimal(micros).scaleb(-6).normalize() if micros % _MICROS else micros // _MICROS


@DATES.add(
    "from_timestamp(seconds: number) -> text",
    "The moment so many seconds after 1970.",
    ("from_timestamp(s)", {"s": 1796113800}, "2026-12-01T08:30:00Z"),
    cost=30,
)
def _from_timestamp(_: Budget, seconds: Any) -> str:
    return _moved(datetime(1970, 1, 1, tzinfo=UTC), _delta(seconds, 1))


@DATES.add(
    "start_of_day(value: text, zone?: text) -> text",
    "The midnight before, in the moment's own offset or in a time zone.",
    ("start_of_day(d, 'Asia/Almaty')", {"d": "2026-12-01T20:30:00Z"}, "2026-12-02T00:00:00+05:00"),
    cost=60,
)
def _start_of_day(_: Budget, value: str, zone_name: str | None = None) -> str:
    moment = read_moment(value) if zone_name is None else _in_zone(value, zone_name)
    return write_date(moment.replace(hour=0, minute=0, second=0, microsecond=0))


@DATES.add("start_of_month(value: text) -> text", "The month's first day.", ("start_of_month(d)", {"d": "2026-12-24"}, "2026-12-01"), cost=30)  # fmt: skip  # noqa: E501
def _start_of_month(_: Budget, value: str) -> str:
    return write_date(read_moment(value).date().replace(day=1))


@DATES.add("end_of_month(value: text) -> text", "The month's last day.", ("end_of_month(d)", {"d": "2027-02-03"}, "2027-02-28"), cost=30)  # fmt: skip  # noqa: E501
def _end_of_month(_: Budget, value: str) -> str:
    day = read_moment(value).date()
    return write_date(day.replace(day=monthrange(day.year, day.month)[1]))


@DATES.add(
    "weekday(value: text) -> number", "1 for Monday to 7 for Sunday.", ("weekday(d)", {"d": "2026-12-24"}, 4), cost=30
)
def _weekday(_: Budget, value: str) -> int:
    return read_date(value).isoweekday()
