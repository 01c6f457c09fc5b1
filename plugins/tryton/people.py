"""The port `hr` on employees, a party each. Skills and departments are categories of that party, below the categories of these names.

Workload is what is planned: an employee's share, by allocations, of the effort of open tasks, over the hours of the company's week.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.coverage import not_supported
from plugins.tryton.rest import MOST, TRYTON_REFUSED
from plugins.tryton.values import exact, goods
from server.sdk import Permanent
from server.sdk.ports.hr import EMPLOYEE_CONFLICT, EMPLOYEE_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date, timedelta

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

EMPLOYEE = "company.employee"
ALLOCATION = "project.allocation"
OPEN = ["OR", ["work.status.progress", "=", None], ["work.status.progress", "<", 1.0]]
"""Allocations of tasks that are neither done nor dropped."""
_CATEGORY = "party.category"
_SKILLS, _DEPARTMENTS = "Skills", "Departments"
_FIELDS = (
    *("start_date", "end_date", "party.name", "party.code"),
    *("party.contact_mechanisms.type", "party.contact_mechanisms.value"),
    *("party.categories.name", "party.categories.parent.name"),
)
_PARTY = "party.party"
_PAGES = 10
_ROOM = 80
_LIMIT = 50
_PERCENT = 100


def hours(effort: timedelta | None) -> Decimal:
    """Return an effort in hours."""
    return exact(effort.total_seconds()) / 3600 if effort else Decimal(0)


def working_hours(erp: Tryton) -> Record:
    """Return how long the company works, `hours_per_work_day` and `hours_per_work_week`, and where: its `timezone`."""
    if "working_hours" not in erp.memory:
        fields = ("hours_per_work_day", "hours_per_work_week", "timezone")
        found = erp.get("company.company", erp.settings["company"], fields) or {}
        plain = {"hours_per_work_day": 8, "hours_per_work_week": 40}  # what Tryton begins with
        erp.memory["working_hours"] = {**found, **{name: exact(found.get(name) or n) for name, n in plain.items()}}
    kept: Record = erp.memory["working_hours"]
    return kept


def everything(erp: Tryton, model: str, domain: list[Any], fields: Iterable[str]) -> list[Record]:
    """Return all records of a domain, up to ten thousand."""
    found: list[Record] = []
    for page in range(_PAGES):
        rows = erp.search(model, domain, fields, offset=page * MOST)
        found += rows
        if len(rows) < MOST:
            break
    return found


def loads(erp: Tryton, employees: Iterable[int]) -> dict[int, Decimal]:
    """Return the hours that are planned for some employees, by number."""
    planned = dict.fromkeys(employees, Decimal(0))
    fields = ("employee", "percentage", "work.effort_duration", "work.allocations.percentage")
    domain = [["employee", "in", list(planned)], OPEN]
    for each in everything(erp, ALLOCATION, domain, fields) if planned else []:
        shares = sum((exact(other["percentage"]) for other in each["work"]["allocations"]), Decimal(0))
        planned[each["employee"]] += hours(each["work"]["effort_duration"]) * exact(each["percentage"]) / shares
    return planned


def workload(erp: Tryton, planned: Decimal) -> Decimal:
    """Return hours in percent of the company's week."""
    return planned * _PERCENT / exact(working_hours(erp)["hours_per_work_week"])


def skills(employee: Record) -> list[str]:
    """Return the skills of an employee, in lower case."""
    return sorted({each.lower() for each in _below(employee, _SKILLS)})


def _below(employee: Record, root: str) -> list[str]:
    categories = employee["party"]["categories"]
    return [each["name"] for each in categories if each["parent"] and each["parent"]["name"] == root]


def shown(erp: Tryton, employee: Record, planned: Decimal) -> dict[str, Any]:
    """Return an employee as the port has it."""
    party = employee["party"]
    contacts = party["contact_mechanisms"]
    return {
        "employee_id": str(employee["id"]),
        "name": party["name"] or "",
        "email": next((each["value"] for each in contacts if each["type"] == "email"), None),
        "department": next(iter(_below(employee, _DEPARTMENTS)), None),
        "skills": skills(employee),
        "capacity_hours": goods(working_hours(erp)["hours_per_work_week"]),
        "assigned_hours": goods(planned),
        "workload": goods(workload(erp, planned)),
        "external_id": party["code"],
        "state": "left" if has_left(erp, employee) else "active",
        "started_on": finding.day_of(employee["start_date"]),
    }


def has_left(erp: Tryton, employee: Record) -> bool:
    """Say whether an employee's last day has come, or was the first one."""
    end: date | None = employee["end_date"]
    return end is not None and (end <= finding.today(erp) or end == employee["start_date"])


def employee_of(erp: Tryton, employee_id: str) -> Record:
    """Return an employee who has not left.

    Raises:
        Permanent: EMPLOYEE_UNKNOWN.

    """
    found = _find(erp, employee_id)
    if found is None or has_left(erp, found):
        raise finding.refused(EMPLOYEE_UNKNOWN, "there is no such employee", employee_id=employee_id)
    return found


def employees_of(erp: Tryton, ids: Iterable[str]) -> list[Record]:
    """Return those of some employees who have not left."""
    numbers = [finding.number(each) for each in ids]
    found = erp.search(EMPLOYEE, [["id", "in", numbers], _ours(erp)], _FIELDS) if numbers else []
    return [each for each in found if not has_left(erp, each)]


def _find(erp: Tryton, employee_id: str) -> Record | None:
    return erp.first(EMPLOYEE, [["id", "=", finding.number(employee_id)], _ours(erp)], _FIELDS)


def _ours(erp: Tryton) -> list[Any]:
    return ["company", "=", erp.settings["company"]]


def _shown(erp: Tryton, employee: Record, **more: Any) -> dict[str, Any]:
    return {**shown(erp, employee, loads(erp, [employee["id"]])[employee["id"]]), **more}


def _onboard(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    week = working_hours(erp)["hours_per_work_week"]
    if exact(given.get("capacity_hours", week)) != week:
        raise not_supported(
            "employees.onboard", "all work as many hours as the company's week has", field="capacity_hours"
        )
    party = _party(erp, given)
    known = _employed(erp, party["id"])
    if known is not None and has_left(erp, known) and not _made_by(erp, known):
        raise finding.refused(EMPLOYEE_CONFLICT, "this employee has left", external_id=given.get("external_id"))
    if known is not None:
        return _shown(erp, known, change="none")
    missing = set(_categories(erp, given)) - {each["id"] for each in party["categories"]}
    if missing:
        erp.write(_PARTY, party["id"], {"categories": [["add", sorted(missing)]]})
    start = finding.date_of(given["start_date"]) if "start_date" in given else finding.today(erp)
    made = erp.create(EMPLOYEE, {"party": party["id"], "company": erp.settings["company"], "start_date": start})
    oldest = _employed(erp, party["id"])
    if oldest is not None and oldest["id"] != made["id"]:  # two calls at once: the younger one is taken back
        erp.delete(EMPLOYEE, made["id"])
    return _shown(erp, oldest or made, change="created")


def _employed(erp: Tryton, party: int) -> Record | None:
    return erp.first(EMPLOYEE, [["party", "=", party], _ours(erp)], _FIELDS)


def _party(erp: Tryton, given: Mapping[str, Any]) -> Record:
    """Return the party of an external id, or of the call's key, made if it is not there."""
    found = _known(erp, given)
    if found is None:
        try:
            erp.create(_PARTY, _new(erp, given))
        except Permanent as error:
            # Codes are unique over there: of two calls at once the second finds what the first has made.
            if error.code != TRYTON_REFUSED or _known(erp, given) is None:
                raise
        found = _known(erp, given)
    if found is None or found["name"] != given["name"]:
        raise finding.refused(EMPLOYEE_CONFLICT, "another party has this code", external_id=given.get("external_id"))
    return found


def _known(erp: Tryton, given: Mapping[str, Any]) -> Record | None:
    named = ["code", "=", given["external_id"]] if "external_id" in given else ["identifiers.code", "=", erp.key]
    return erp.first(_PARTY, [named], ("name", "categories.name")) if named[-1] else None


def _made_by(erp: Tryton, employee: Record) -> bool:
    """Say whether this very call took somebody on, who has left since."""
    known = erp.first(_PARTY, [["id", "=", employee["party"]["id"]], ["identifiers.code", "=", erp.key]], ("id",))
    return known is not None


def _new(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": given["name"],
        "categories": [["add", _categories(erp, given)]],
        "identifiers": [["create", [{"code": erp.key}]]] if erp.key else [],
    }
    if "external_id" in given:
        values["code"] = given["external_id"]
    if given.get("email"):
        values["contact_mechanisms"] = [["create", [{"type": "email", "value": given["email"]}]]]
    return values


def _categories(erp: Tryton, given: Mapping[str, Any]) -> list[int]:
    """Return the categories of the skills and the department that are said, made where they are not there."""
    wanted = [(_SKILLS, each) for each in given.get("skills", [])]
    if given.get("department"):
        wanted.append((_DEPARTMENTS, given["department"]))
    return sorted({_category(erp, name, _category(erp, root, None)) for root, name in wanted})


def _category(erp: Tryton, name: str, parent: int | None) -> int:
    domain = [["name", "ilike", finding.literal(name)], ["parent", "=", parent]]
    key = f"category {parent} {name}"
    if key not in erp.memory:
        found = erp.first(_CATEGORY, domain, ("id",))
        if found is None:
            try:
                found = erp.create(_CATEGORY, {"name": name, "parent": parent})
            except Permanent as error:  # names are unique below one parent
                found = erp.first(_CATEGORY, domain, ("id",)) if error.code == TRYTON_REFUSED else None
                if found is None:
                    raise
        erp.memory[key] = found["id"]
    return int(erp.memory[key])


def _offboard(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    employee = _find(erp, given["employee_id"])
    if employee is None:
        raise finding.refused(EMPLOYEE_UNKNOWN, "there is no such employee", employee_id=given["employee_id"])
    for each in everything(erp, ALLOCATION, [["employee", "=", employee["id"]], OPEN], ("id",)):
        erp.delete(ALLOCATION, each["id"])
    if has_left(erp, employee):
        return _shown(erp, employee, change="none")
    last = max(finding.today(erp), employee["start_date"] or finding.today(erp))
    erp.write(EMPLOYEE, employee["id"], {"end_date": last})
    return _shown(erp, {**employee, "end_date": last}, change="updated")


def _get(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    return _shown(erp, employee_of(erp, given["employee_id"]))


def _find_available(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    on = finding.date_of(given["on"]) if "on" in given else finding.today(erp)
    domain = [
        _ours(erp),
        ["OR", ["start_date", "=", None], ["start_date", "<=", on]],
        ["OR", ["end_date", "=", None], ["end_date", ">", on]],
    ]
    needs, room = set(given.get("skills", [])), exact(given.get("max_workload", _ROOM))
    fit = [
        each
        for each in everything(erp, EMPLOYEE, domain, _FIELDS)
        if needs <= set(skills(each)) and given.get("department") in (None, *_below(each, _DEPARTMENTS))
    ]
    planned = loads(erp, [each["id"] for each in fit])
    fit = [each for each in fit if not has_left(erp, each) and workload(erp, planned[each["id"]]) < room]
    fit.sort(key=lambda each: (planned[each["id"]], each["id"]))
    limit = int(given.get("limit", _LIMIT))
    return {"employees": [shown(erp, each, planned[each["id"]]) for each in fit[:limit]]}


OPERATIONS: dict[str, Work] = {
    "employees.onboard": _onboard,
    "employees.offboard": _offboard,
    "employees.get": _get,
    "employees.find_available": _find_available,
}
