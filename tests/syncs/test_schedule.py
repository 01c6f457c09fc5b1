"""When jobs run: over clock changes, against a scan of every minute, and what becomes of times that were missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.syncs.cron import Cron, CronError, read
from server.syncs.schedule import CATCH_UP, Schedule, due, schedule_of, shortest_interval

JOB = UUID(int=7)
MINUTE = timedelta(minutes=1)
FOREVER = datetime(9000, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def fires(cron: str, zone: str, after: str, count: int) -> list[str]:
    times = islice(read(cron, zone).times(at(after), FOREVER), count)
    return [each.strftime("%Y-%m-%dT%H:%M") for each in times]


NEW_YORK, PARIS, LORD_HOWE, ALMATY = "America/New_York", "Europe/Paris", "Australia/Lord_Howe", "Asia/Almaty"
CHANGES = [
    # New York goes from 02:00 -05 to 03:00 -04 on 2026-03-08, and back at 02:00 -04 on 2026-11-01.
    (NEW_YORK, "30 2 * * *", "2026-03-07T00:00", ["2026-03-07T07:30", "2026-03-08T07:00", "2026-03-09T06:30"]),
    (NEW_YORK, "0,30 2 * * *", "2026-03-07T08:00", ["2026-03-08T07:00", "2026-03-09T06:00", "2026-03-09T06:30"]),
    (NEW_YORK, "0 3 * * *", "2026-03-07T09:00", ["2026-03-08T07:00", "2026-03-09T07:00"]),
    (NEW_YORK, "30 1 * * *", "2026-10-31T06:00", ["2026-11-01T05:30", "2026-11-02T06:30"]),
    (NEW_YORK, "30 1 * * *", "2026-11-01T06:10", ["2026-11-02T06:30"]),
    (NEW_YORK, "0 * * * *", "2026-03-08T05:00", ["2026-03-08T06:00", "2026-03-08T07:00", "2026-03-08T08:00"]),
    (NEW_YORK, "*/30 1 * * *", "2026-11-01T00:00", ["2026-11-01T05:00", "2026-11-01T05:30", "2026-11-01T06:00"]),
    (NEW_YORK, "*/30 2 * * *", "2026-03-07T08:00", ["2026-03-09T06:00", "2026-03-09T06:30"]),
    # Paris goes from 02:00 +01 to 03:00 +02 on 2026-03-29, and back at 03:00 +02 on 2026-10-25.
    (PARIS, "15 2 * * *", "2026-03-28T00:00", ["2026-03-28T01:15", "2026-03-29T01:00", "2026-03-30T00:15"]),
    (PARIS, "15 2 * * *", "2026-10-24T12:00", ["2026-10-25T00:15", "2026-10-26T01:15"]),
    (PARIS, "15 * * * *", "2026-10-25T00:00", ["2026-10-25T00:15", "2026-10-25T01:15", "2026-10-25T02:15"]),
    (PARIS, "0 0 29 3 *", "2026-01-01T00:00", ["2026-03-28T23:00", "2027-03-28T22:00"]),
    # Lord Howe moves by half an hour: 02:00 +10:30 to 02:30 +11 on 2026-10-04, back at 02:00 +11 on 2026-04-05.
    (LORD_HOWE, "15 2 * * *", "2026-10-02T20:00", ["2026-10-03T15:30", "2026-10-04T15:15"]),
    (LORD_HOWE, "45 1 * * *", "2026-04-03T20:00", ["2026-04-04T14:45", "2026-04-05T15:15"]),
    (LORD_HOWE, "*/15 1 * * *", "2026-04-04T14:20", ["2026-04-04T14:30", "2026-04-04T14:45", "2026-04-04T15:00"]),
    (LORD_HOWE, "*/15 2 * * *", "2026-10-03T14:00", ["2026-10-03T15:30", "2026-10-03T15:45", "2026-10-04T15:00"]),
    # Almaty gave up an hour for good: from 00:00 +06 on 2024-03-01 back to 23:00 +05 on 29 February. Before 2005 it had
    # summer time: 02:00 +06 to 03:00 +07 on 2004-03-28, back at 03:00 +07 on 2004-10-31, each to +06.
    (ALMATY, "30 23 * * *", "2024-02-28T20:00", ["2024-02-29T17:30", "2024-03-01T18:30"]),
    (ALMATY, "30 * * * *", "2024-02-29T17:00", ["2024-02-29T17:30", "2024-02-29T18:30", "2024-02-29T19:30"]),
    (ALMATY, "0 0 * * *", "2024-02-29T00:00", ["2024-02-29T19:00", "2024-03-01T19:00"]),
    (ALMATY, "30 2 * * *", "2004-03-27T00:00", ["2004-03-27T20:00", "2004-03-28T19:30"]),
    (ALMATY, "30 2 * * *", "2004-10-30T00:00", ["2004-10-30T19:30", "2004-10-31T20:30"]),
    (ALMATY, "*/15 6-22 * * 1-6", "2026-11-21T17:40", ["2026-11-21T17:45", "2026-11-23T01:00"]),
]


@pytest.mark.parametrize(("zone", "cron", "after", "expected"), CHANGES)
def test_each_time_comes_at_the_right_moment_over_changes_of_the_clock(
    zone: str, cron: str, after: str, expected: list[str]
) -> None:
    assert fires(cron, zone, after, len(expected)) == expected


def test_a_schedule_of_the_guide_fires_every_six_hours() -> None:
    assert fires("0 */6 * * *", "UTC", "2026-01-01T00:00", 3) == [
        "2026-01-01T06:00",
        "2026-01-01T12:00",
        "2026-01-01T18:00",
    ]


REFUSED = [
    ("59/15 * * * *", "does not say where it ends"),
    ("6/1 * * * *", "does not say where it ends"),
    ("0 6/2 * * *", "6-23/2"),
    ("0 0 31 2 *", "never comes"),
    ("0 0 30,31 2 *", "never comes"),
    ("0 0 31 4,6,9,11 *", "never comes"),
    ("0 0 * * * *", "seconds are not taken"),
    ("@daily", "found 1"),
    ("0 0 L * *", "day of the month"),
    ("0 0 15W * *", "day of the month"),
    ("0 0 * * 5#2", "day of the week"),
    ("0 0 * * ?", "day of the week"),
    ("H * * * *", "minute"),
    ("60 * * * *", "0 to 59"),
    ("* 24 * * *", "0 to 23"),
    ("* * 0 * *", "1 to 31"),
    ("* * * 13 *", "1 to 12"),
    ("* * * * 8", "0 to 7"),
    ("-1 * * * *", "minute"),
    ("5-1 * * * *", "ends before it begins"),
    ("*/0 * * * *", "step"),
    ("*/61 * * * *", "step"),
    ("1-5/9 * * * *", "step"),
    ("1,,2 * * * *", "minute"),
    ("٣ * * * *", "minute"),
    ("99999999999 * * * *", "0 to 59"),
    ("", "found 0"),
    ("0 " * 200, "128 characters"),
    ("* * * * sun-mon-tue", "day of the week"),
]


@pytest.mark.parametrize(("cron", "why"), REFUSED)
def test_a_text_that_means_nothing_or_another_thing_is_refused(cron: str, why: str) -> None:
    with pytest.raises(CronError, match=why) as refused:
        read(cron)
    assert refused.value.code == "CRON"


def test_an_unknown_time_zone_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(CronError) as refused:
        read("0 0 * * *", "Asia/Almaly")
    assert (refused.value.code, refused.value.suggestion) == ("TIME_ZONE", "Asia/Almaty")


@pytest.mark.parametrize("zone", ["../../etc/passwd", "", "/etc/localtime", "x" * 1000])
def test_the_name_of_a_zone_opens_no_file(zone: str) -> None:
    with pytest.raises(CronError):
        read("0 0 * * *", zone)


ZONES = st.sampled_from([NEW_YORK, PARIS, LORD_HOWE, ALMATY, "UTC", "Africa/Casablanca", "Pacific/Apia", "Asia/Tehran"])
STARTS = st.sampled_from(
    [
        at("2026-03-07T12:00"),
        at("2026-03-28T12:00"),
        at("2026-10-31T12:00"),
        at("2026-10-24T12:00"),
        at("2026-04-04T06:00"),
        at("2026-10-03T06:00"),
        at("2024-02-29T06:00"),
        at("2026-02-14T12:00"),
        at("2026-03-21T12:00"),
        at("2011-12-29T12:00"),
    ]
)
MINUTES = st.one_of(
    st.just("*"),
    st.integers(2, 30).map(lambda n: f"*/{n}"),
    st.lists(st.integers(0, 59), min_size=1, max_size=3).map(lambda ns: ",".join(map(str, ns))),
    st.integers(0, 40).map(lambda n: f"{n}-{n + 15}/7"),
)
HOURS = st.one_of(
    st.just("*"),
    st.integers(2, 12).map(lambda n: f"*/{n}"),
    st.lists(st.integers(0, 23), min_size=1, max_size=3).map(lambda ns: ",".join(map(str, ns))),
    st.just("0-4"),
)
WEEKDAYS = st.sampled_from(["*", "*", "*", "1-5", "0,6", "sat-7", "sun"])
CRONS = st.tuples(MINUTES, HOURS, WEEKDAYS).map(lambda parts: f"{parts[0]} {parts[1]} * * {parts[2]}")


def numbers(field: str, most: int) -> set[int]:
    """Read a field as the reference does, in the plainest way."""
    names = {"sun": "0", "mon": "1", "sat": "6"}
    for name, number in names.items():
        field = field.replace(name, number)
    found: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        low, high = (0, most) if span == "*" else (int(first), int(last or first))
        found |= set(range(low, high + 1, int(step or 1)))
    return found


def scan(text: str, zone: str, start: datetime, hours: int) -> list[datetime]:
    """Look at every real minute: the oracle.

    Fixed times fire when the wall clock first reaches or passes them, the others whenever the wall clock shows them.
    """
    minute, hour, _, _, weekday = text.split()
    minutes, hour_numbers = numbers(minute, 59), numbers(hour, 23)
    weekdays = {each % 7 for each in numbers(weekday, 7)}

    def matches(wall: datetime) -> bool:
        return wall.minute in minutes and wall.hour in hour_numbers and wall.isoweekday() % 7 in weekdays

    fixed, found = not set("*/") & set(minute + hour), []
    reached = (start - timedelta(hours=26)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    for number in range(-26 * 60 + 1, hours * 60 + 1):
        moment = start + number * MINUTE
        wall = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        passed = [reached + n * MINUTE for n in range(1, (wall - reached) // MINUTE + 1)] if fixed else [wall]
        reached = max(reached, wall)
        if moment > start and any(matches(each) for each in passed):
            found.append(moment)
    return found


@settings(max_examples=50, deadline=None)
@given(text=CRONS, zone=ZONES, start=STARTS)
def test_the_times_are_those_of_a_scan_of_every_minute(text: str, zone: str, start: datetime) -> None:
    until = start + timedelta(hours=40)
    assert list(read(text, zone).times(start, until)) == scan(text, zone, start, 40)


@settings(max_examples=60, deadline=None)
@given(text=CRONS, zone=ZONES, start=STARTS, late=st.integers(0, 3 * 86_400))
def test_times_only_grow_and_none_comes_twice_wherever_one_begins(
    text: str, zone: str, start: datetime, late: int
) -> None:
    cron = read(text, zone)
    times = list(islice(cron.times(start, FOREVER), 60))
    assert all(earlier < later for earlier, later in pairwise(times))
    begun = start + timedelta(seconds=late)
    following = next(each for each in (*times, cron.after(max(times[-1], begun))) if each > begun)
    assert cron.after(begun) == following


def schedule(cron: str = "*/10 * * * *", **more: object) -> Schedule:
    found = schedule_of({"cron": cron, **more})
    assert found is not None
    return found


MISSED = [
    # misfire, grace, how late, which run (minutes after the first time), what is given up, which comes next
    ("none", "1h", 30, [0], None, 10),
    ("none", "1h", 120, [], 0, 10),
    ("none", "1h", 35 * 60, [], 0, 40),
    ("none", "1h", 40 * 60 + 20, [40], 0, 50),
    ("latest", "1h", 120, [0], None, 10),
    ("latest", "1h", 35 * 60, [30], 0, 40),
    ("latest", "2m", 35 * 60, [], 0, 40),
    ("all", "1h", 35 * 60, [0, 10, 20, 30], None, 40),
    ("all", "15m", 35 * 60, [20, 30], 0, 40),
    ("all", "1h", 10, [0], None, 10),
    ("latest", "1h", 30 * 86_400, [30 * 1440], 0, 30 * 1440 + 10),
]


@pytest.mark.parametrize(("misfire", "grace", "late", "run", "dropped", "following"), MISSED)
def test_missed_times_are_run_as_misfire_and_grace_say(
    misfire: str, grace: str, late: int, run: list[int], dropped: int | None, following: int
) -> None:
    first = at("2026-05-01T00:00")
    found = due(schedule(misfire=misfire, grace=grace), JOB, first, first + timedelta(seconds=late))
    assert [(each - first) // MINUTE for each in found.run] == run
    assert found.dropped == (None if dropped is None else first + dropped * MINUTE)
    assert found.following == first + following * MINUTE


def test_a_long_row_of_missed_times_is_made_good_in_portions() -> None:
    first = at("2026-05-01T00:00")
    now = first + timedelta(hours=4)
    every_minute = schedule("* * * * *", misfire="all", grace="1d")
    found = due(every_minute, JOB, first, now)
    assert len(found.run) == CATCH_UP
    rest = due(every_minute, JOB, found.following, now)
    last = due(every_minute, JOB, rest.following, now)
    assert [*found.run, *rest.run, *last.run] == [first + n * MINUTE for n in range(241)]
    assert last.following == now + MINUTE
    assert last.run[-1] not in last.caught_up


@settings(max_examples=200)
@given(job=st.uuids(), number=st.integers(0, 1000))
def test_jitter_spreads_jobs_the_same_way_every_time(job: UUID, number: int) -> None:
    spread = schedule(jitter="5m")
    nominal = at("2026-05-01T00:00") + number * MINUTE * 10
    fire = spread.fires_at(job, nominal)
    assert nominal <= fire < nominal + 5 * MINUTE
    assert spread.fires_at(job, nominal) == fire


def test_jitter_spreads_jobs_evenly() -> None:
    spread, nominal = schedule(jitter="10m"), at("2026-05-01T00:00")
    minutes = [(spread.fires_at(UUID(int=n), nominal) - nominal) // MINUTE for n in range(1000)]
    assert all(60 < minutes.count(each) < 145 for each in range(10))


@pytest.mark.parametrize(
    ("cron", "seconds"), [("* * * * *", 60), ("0 9 * * *", 86_400), ("0,50 * * * *", 600), ("0 0 1 * *", 28 * 86_400)]
)
def test_the_shortest_interval_of_a_schedule_is_known(cron: str, seconds: int) -> None:
    assert shortest_interval(read(cron), at("2026-01-01T00:00")) == timedelta(seconds=seconds)


def test_a_time_far_from_now_is_found_without_counting_what_lies_between() -> None:
    began = datetime.now(UTC)
    found = due(schedule("* * * * *"), JOB, at("2001-01-01T00:00"), at("2026-01-01T00:00"))
    assert (found.run, found.following) == ((at("2026-01-01T00:00"),), at("2026-01-01T00:01"))
    assert datetime.now(UTC) - began < timedelta(seconds=1)


def test_a_cron_is_read_once() -> None:
    assert isinstance(read("0 0 * * *"), Cron)
    assert read("0 0 * * *", "UTC") is read("0 0 * * *", "UTC")
