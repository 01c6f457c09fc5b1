"""Deals: begun, changed while they are open, won or lost; what became of each is kept step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select

from plugins.erp_sandbox.records import add, change, many, moment, number, one, paged, parts, refused, shown, stamped
from plugins.erp_sandbox.sales import customers, pricing
from plugins.erp_sandbox.sales.days import within
from plugins.erp_sandbox.sales.tables import DEAL_STEPS, DEALS, LINES
from plugins.erp_sandbox.transitions import Transitions
from server.sdk.ports.deals import DEAL_CLOSED, DEAL_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record

MOVES = Transitions(
    "deal",
    DEAL_CLOSED,
    {
        "change": {"open": "open"},
        "win": {"open": "won", "won": "won"},
        "lose": {"open": "lost", "lost": "lost"},
    },
)
_PLAIN = ("name", "expected_close", "note")


def show(desk: Desk, *deals: Record) -> list[Record]:
    """Return deals as the port has them."""
    lines = pricing.kept(desk, (each["deal_id"] for each in deals))
    return [{**shown(DEALS, each), "items": pricing.shown_lines(lines[each["deal_id"]])} for each in deals]


def find(desk: Desk, *, lock: bool = False, **named: Any) -> Record:
    """Return a deal.

    Raises:
        Permanent: DEAL_UNKNOWN.

    """
    deal = one(desk, DEALS, lock=lock, **named)
    if deal is None:
        raise refused(DEAL_UNKNOWN, "there is no such deal", **named)
    return deal


def create(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `deals.create`; one of an external id that is there already is changed as `upsert` does."""
    if "external_id" in given and one(desk, DEALS, external_id=given["external_id"]) is not None:
        return upsert(desk, given)
    customers.get(desk, {"customer_id": given["customer_id"]})
    lines = pricing.lines_of(desk, given["items"])
    values = {
        "deal_id": desk.new_id("deal"),
        "external_id": given.get("external_id"),
        "customer_id": given["customer_id"],
        "status": "open",
        **dict.fromkeys((*_PLAIN, "probability", "lost_because", "closed_at")),
        **_values(given),
        "amount": pricing.totals(lines)["total"],
    }
    deal = stamped(desk, values)
    add(desk, DEALS, deal)
    pricing.keep(desk, deal["deal_id"], lines)
    _step(desk, deal, "created", None)
    return {**show(desk, deal)[0], "change": "created"}


def _values(given: Mapping[str, Any]) -> Record:
    values = {name: given[name] for name in _PLAIN if name in given}
    return values | ({"probability": parts(given["probability"])} if "probability" in given else {})


def upsert(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `deals.upsert`."""
    deal = one(desk, DEALS, lock=True, external_id=given["external_id"])
    if deal is None:
        return create(desk, given)
    customers.get(desk, {"customer_id": given["customer_id"]})
    lines = pricing.lines_of(desk, given["items"])
    before = pricing.without_owner(pricing.kept(desk, [deal["deal_id"]])[deal["deal_id"]])
    wanted = {**_values(given), "customer_id": given["customer_id"], "amount": pricing.totals(lines)["total"]}
    if lines == before and all(deal[name] == value for name, value in wanted.items()):
        return {**show(desk, deal)[0], "change": "none"}
    MOVES.after(deal["status"], "change")
    if lines != before:
        desk.connection.execute(
            delete(LINES).where(LINES.c.company == desk.company, LINES.c.owner_id == deal["deal_id"])
        )
        pricing.keep(desk, deal["deal_id"], lines)
        wanted["revision"] = deal["revision"] + 1  # the lines are a part of it, even where their sum is the same
    after = change(desk, DEALS, deal, **wanted)
    _step(desk, after, "changed", deal["status"])
    return {**show(desk, after)[0], "change": "updated"}


def _step(desk: Desk, deal: Record, what: str, before: str | None, note: str | None = None) -> None:
    values = {"deal_id": deal["deal_id"], "step": deal["revision"], "at": desk.now, "what": what, "note": note}
    add(desk, DEAL_STEPS, {"company": desk.company, **values, "before": before, "after": deal["status"]})


def _name(given: Mapping[str, Any]) -> Record:
    return {name: given[name] for name in ("deal_id", "external_id") if name in given}


def win(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `deals.win`; a deal is told of as won once."""
    deal = find(desk, lock=True, **_name(given))
    status = MOVES.after(deal["status"], "win")
    if status == deal["status"]:
        return {**show(desk, deal)[0], "change": "none"}
    after = change(desk, DEALS, deal, status=status, closed_at=desk.now, probability=parts(1))
    _step(desk, after, "won", deal["status"])
    answer = show(desk, after)[0]
    desk.emit("deal.won", f"deal/{deal['deal_id']}", answer)
    return {**answer, "change": "updated"}


def lose(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `deals.lose`."""
    deal = find(desk, lock=True, **_name(given))
    status = MOVES.after(deal["status"], "lose")
    if status == deal["status"]:
        return {**show(desk, deal)[0], "change": "none"}
    reason = given.get("reason")
    after = change(desk, DEALS, deal, status=status, closed_at=desk.now, probability=parts(0), lost_because=reason)
    _step(desk, after, "lost", deal["status"], reason)
    return {**show(desk, after)[0], "change": "updated"}


def find_active(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `deals.find_active`."""
    where = [DEALS.c.status == "open"]
    if "customer_id" in given:
        where.append(DEALS.c.customer_id == given["customer_id"])
    found, following = paged(desk, DEALS, given, *where, by=("updated_at", "deal_id"))
    return {"deals": show(desk, *found), "next": following}


def conversion(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `deals.conversion_rate`: of those closed in the span; the open ones are those of now."""
    column = DEALS.c
    where = [column.company == desk.company]
    if "customer_id" in given:
        where.append(column.customer_id == given["customer_id"])
    span = [*where, *within(column.closed_at, given)]

    def counted(*conditions: Any) -> int:
        return int(desk.connection.execute(select(func.count()).select_from(DEALS).where(*conditions)).scalar_one())

    won, lost = counted(*span, column.status == "won"), counted(*span, column.status == "lost")
    rate = None if won + lost == 0 else number(parts(won / (won + lost)))
    return {"won": won, "lost": lost, "open": counted(*where, column.status == "open"), "rate": rate}


def history(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `deals.history`."""
    deal = find(desk, deal_id=given["deal_id"])
    steps = many(desk, DEAL_STEPS, DEAL_STEPS.c.deal_id == deal["deal_id"], most=1000)
    return {"deal_id": deal["deal_id"], "history": _told(steps)}


def _told(steps: Sequence[Record]) -> list[Record]:
    return [
        {
            "at": moment(step["at"]),
            "what": step["what"],
            "from": step["before"],
            "to": step["after"],
            "note": step["note"],
        }
        for step in steps
    ]


def record_prediction(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `deals.record_prediction`."""
    deal = find(desk, lock=True, deal_id=given["deal_id"])
    MOVES.after(deal["status"], "change")
    after = change(desk, DEALS, deal, probability=parts(given["probability"]))
    if after is not deal:
        sure = f", confidence {given['confidence']}" if "confidence" in given else ""
        said = f"{given['model']}: {given['probability']}{sure}" + (f"; {given['note']}" if "note" in given else "")
        _step(desk, after, "predicted", deal["status"], said[:2000])
    change_ = "none" if after is deal else "updated"
    return {"deal_id": deal["deal_id"], "probability": number(after["probability"]), "change": change_}
