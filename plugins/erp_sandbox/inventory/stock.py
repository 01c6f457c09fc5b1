"""The one place where stock changes: rows locked in the order of their products, a move in the journal for each change on hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, update
from sqlalchemy.dialects import postgresql, sqlite

from plugins.erp_sandbox import records
from plugins.erp_sandbox.inventory import coming
from plugins.erp_sandbox.inventory.tables import STOCK, STOCK_MOVES
from plugins.erp_sandbox.records import NOTHING, Record, moment, number, refused
from server.sdk.ports.inventory import STOCK_SHORT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from decimal import Decimal

    from plugins.erp_sandbox.desk import Desk


@dataclass(frozen=True)
class Level:
    """How much there is of a product."""

    product_id: str
    on_hand: Decimal = NOTHING
    reserved: Decimal = NOTHING
    reorder_point: Decimal | None = None
    reorder_quantity: Decimal | None = None
    updated_at: datetime | None = None

    @property
    def available(self) -> Decimal:
        """What nobody has reserved."""
        return self.on_hand - self.reserved

    @property
    def is_low(self) -> bool:
        """It is to be ordered anew."""
        return self.reorder_point is not None and self.available <= self.reorder_point

    def shown(self) -> Record:
        """Return the level as the port has it."""
        return {
            "product_id": self.product_id,
            **{name: number(getattr(self, name)) for name in ("on_hand", "reserved", "available")},
            "reorder_point": None if self.reorder_point is None else number(self.reorder_point),
            "reorder_quantity": None if self.reorder_quantity is None else number(self.reorder_quantity),
            "is_low": self.is_low,
            **({} if self.updated_at is None else {"updated_at": moment(self.updated_at)}),
        }


@dataclass(frozen=True)
class Change:
    """A difference of what is on hand and of what is reserved."""

    on_hand: Decimal = NOTHING
    reserved: Decimal = NOTHING


@dataclass(frozen=True)
class Why:
    """The cause of a change: a word, the document behind it, and what somebody said."""

    kind: str
    reference: str | None = None
    reason: str | None = None
    short: str = STOCK_SHORT


def level_of(record: Record) -> Level:
    """Return a record of the table."""
    return Level(**{name: value for name, value in record.items() if name != "company"})


def levels(desk: Desk, product_ids: Iterable[str]) -> dict[str, Level]:
    """Return how much there is of each product, none where it was never in stock."""
    wanted = sorted(set(product_ids))
    found = records.by_id(desk, STOCK, "product_id", wanted)
    return {each: level_of(found[each]) if each in found else Level(each) for each in wanted}


def locked(desk: Desk, product_ids: Iterable[str]) -> dict[str, Level]:
    """Return how much there is of each product, so that nobody else changes it meanwhile."""
    wanted = sorted(set(product_ids))
    found = records.by_id(desk, STOCK, "product_id", wanted, lock=True)
    if len(found) < len(wanted):
        _begin(desk, [each for each in wanted if each not in found])
        found = records.by_id(desk, STOCK, "product_id", wanted, lock=True)
    return {product_id: level_of(record) for product_id, record in found.items()}


def _begin(desk: Desk, product_ids: Iterable[str]) -> None:
    """Make the rows of products that were never in stock; another may do so at the same time."""
    make = postgresql.insert if desk.locks else sqlite.insert
    empty = {"company": desk.company, "on_hand": NOTHING, "reserved": NOTHING, "updated_at": desk.now}
    rows = [{**empty, "product_id": each} for each in product_ids]
    desk.connection.execute(make(STOCK).values(rows).on_conflict_do_nothing())


def change(desk: Desk, changes: Mapping[str, Change], why: Why, *, tells_low: bool = True) -> dict[str, Level]:
    """Change the stock of products, all or none; return the levels after.

    Without `tells_low` whoever calls says what runs low, with `tell_low`: more changes than this.

    Raises:
        Permanent: `why.short` (STOCK_SHORT unless said): less would be there than is reserved; `details.missing` says of what.

    """
    before = locked(desk, changes)
    after = {
        product_id: _moved(level, changes[product_id], desk.now) if _moves(changes[product_id]) else level
        for product_id, level in before.items()
    }
    if missing := [_missing(each, changes[each.product_id]) for each in after.values() if each.available < 0]:
        raise refused(why.short, "there is not enough in stock", missing=missing)
    _store(desk, [level for level in after.values() if _moves(changes[level.product_id])])
    _journal(desk, changes, why)
    for product_id, level in after.items():
        if _moves(changes[product_id]):
            tell(desk, level, why)
            if tells_low:
                tell_low(desk, before[product_id], level)
    return after


def set_points(desk: Desk, level: Level, values: Mapping[str, Decimal | None]) -> Level:
    """Set when and how much of a product, that is locked, is ordered anew."""
    after = Level(**{**level.__dict__, **values, "updated_at": desk.now})
    records.change(desk, STOCK, {"company": desk.company, **level.__dict__}, **values, updated_at=desk.now)
    return after


def tell(desk: Desk, after: Level, why: Why) -> None:
    """Say what has changed."""
    data = {**after.shown(), "kind": why.kind, "reference": why.reference}
    desk.emit("stock.updated", f"product/{after.product_id}", data)


def tell_low(desk: Desk, before: Level, after: Level) -> None:
    """Say that there is little of something, just when it becomes so."""
    if after.is_low and not before.is_low:
        data = {**after.shown(), "on_order": number(coming.of(desk, after.product_id))}
        for type_ in ("stock.low", "inventory.stock.low"):
            desk.emit(type_, f"product/{after.product_id}", data)


def _moves(change_: Change) -> bool:
    return change_ != Change()


def _moved(level: Level, change_: Change, now: datetime) -> Level:
    on_hand, reserved = level.on_hand + change_.on_hand, level.reserved + change_.reserved
    return Level(level.product_id, on_hand, reserved, level.reorder_point, level.reorder_quantity, now)


def _missing(after: Level, change_: Change) -> Record:
    asked = change_.reserved - change_.on_hand
    return {
        "product_id": after.product_id,
        "quantity": number(asked),
        "available": number(after.available + asked),
        "missing": number(-after.available),
    }


def _store(desk: Desk, after: Iterable[Level]) -> None:
    statement = (
        update(STOCK)
        .where(STOCK.c.company == desk.company, STOCK.c.product_id == bindparam("b_product"))
        .values(
            {name: bindparam(f"v_{name}", type_=STOCK.c[name].type) for name in ("on_hand", "reserved", "updated_at")}
        )
    )
    values = [
        {"b_product": each.product_id, "v_on_hand": each.on_hand, "v_reserved": each.reserved, "v_updated_at": desk.now}
        for each in after
    ]
    if values:
        desk.connection.execute(statement, values)


def _journal(desk: Desk, changes: Mapping[str, Change], why: Why) -> None:
    moves = [
        {
            "company": desk.company,
            "move_id": desk.new_id("mov"),
            "product_id": product_id,
            "quantity": each.on_hand,
            "kind": why.kind,
            "reference": why.reference,
            "reason": why.reason,
            "at": desk.now,
        }
        for product_id, each in sorted(changes.items())
        if each.on_hand
    ]
    records.add(desk, STOCK_MOVES, *moves)
