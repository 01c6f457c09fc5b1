"""`attendance.record` on the lines of Tryton's attendance: an arrival and a departure that lie as far apart as the hours, about noon."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from plugins.tryton import finding
from plugins.tryton.people import employee_of, working_hours
from plugins.tryton.values import exact, goods

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

LINE = "attendance.line"


def _record(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """Say how long somebody was there: other lines of that day give way to it, as what is said last counts."""
    employee = employee_of(erp, given["employee_id"])
    day = finding.date_of(given["day"])
    answer = {"employee_id": given["employee_id"], "day": given["day"], "hours": goods(given["hours"])}
    wanted = _wanted(_noon(erp, day), given)
    there = _lines(erp, employee["id"], day)
    if [(each["type"], each["at"]) for each in there] == wanted:
        return {**answer, "change": "none"}
    for each in there:
        erp.delete(LINE, each["id"])
    for type_, at in wanted:
        whose = {"employee": employee["id"], "company": erp.settings["company"], "date": day}
        erp.create(LINE, {**whose, "type": type_, "at": at})
    return {**answer, "change": "updated" if there else "created"}


def _wanted(noon: datetime, given: Mapping[str, Any]) -> list[tuple[str, datetime]]:
    seconds = round(exact(given["hours"]) * 3600)  # Tryton keeps no parts of a second
    begins = noon - timedelta(seconds=seconds // 2)
    return [("in", begins), ("out", begins + timedelta(seconds=seconds))] if seconds else []


def _noon(erp: Tryton, day: date) -> datetime:
    zone = working_hours(erp)["timezone"]
    where: tzinfo = ZoneInfo(zone) if zone else UTC
    return datetime.combine(day, time(12), where).astimezone(UTC)


def _lines(erp: Tryton, employee: int, day: date) -> list[Record]:
    """Return the lines of a day; a departure at the midnight that ends it belongs to it."""
    midnight = _noon(erp, day) + timedelta(hours=12)
    ends = [["at", "=", midnight], ["type", "=", "out"]]
    domain = [["employee", "=", employee], ["OR", ["date", "=", day], ends]]
    order = (("at", "ASC"), ("id", "ASC"))
    begun = _noon(erp, day) - timedelta(hours=12)
    rows = erp.search(LINE, domain, ("type", "at"), order=order)
    return [each for each in rows if not (each["type"] == "out" and each["at"] == begun)]


OPERATIONS: dict[str, Work] = {"attendance.record": _record}
