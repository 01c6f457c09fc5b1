"""The stock against a model of it: whatever comes in whatever order, and after any prefix all can be put back."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import create_engine, event, func, select

from plugins.erp_sandbox.inventory.tables import STOCK_MOVES
from plugins.erp_sandbox.opening import working
from server.kernel.clock import ManualClock
from server.sdk import Context, Permanent, Tenant
from tests.erp.calling import call
from tests.erp.stocking import order, product, stock

if TYPE_CHECKING:
    from decimal import Decimal

    from sqlalchemy.engine import Engine

_NUMBERS = itertools.count()
_STEPS = (
    "inventory.reserve_stock",
    "warehouse.create_picking",
    "warehouse.create_packing",
    "logistics.create_shipment",
)
_BACK = ("inventory.release_stock", "warehouse.cancel_picking", "warehouse.cancel_packing", "logistics.cancel_shipment")
_KEYS = ("order_id", "picking_id", "packing_id", "shipment_id")
_SHIPPED = len(_STEPS)


def _engine() -> Engine:
    folder = Path(tempfile.mkdtemp(prefix="crossdock-stock-"))
    engine = create_engine(f"sqlite:///{folder / 'erp.db'}")
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    return engine


def _context(engine: Engine) -> Context:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Context(
        correlation_id="cor_1",
        tenant=Tenant("acme", "main"),
        user=None,
        timestamp=at,
        http=requests.Session(),
        clock=ManualClock(at),
        config={"company": f"c{next(_NUMBERS)}"},
        store=lambda: engine,
    )


@dataclass
class Sold:
    """An order of the model: `steps` of the four are done."""

    order_id: str
    goods: dict[str, int]
    steps: int = 0
    ids: dict[str, str] = field(default_factory=dict)

    def given(self, step: int) -> dict[str, Any]:
        known = {"order_id": self.order_id, **self.ids}
        names = (("order_id",), ("order_id",), ("picking_id",), ("order_id", "packing_id"))[step]
        return {name: known.get(name, "none") for name in names}


_ORDERS = st.integers(0, 5)


class Stock(RuleBasedStateMachine):
    """Two products, some orders."""

    engine: Engine = None  # type: ignore[assignment] - made with the first machine

    @initialize(first=st.integers(10, 30), second=st.integers(10, 30))
    def open(self, first: int, second: int) -> None:
        if Stock.engine is None:
            Stock.engine = _engine()
        self.context = _context(Stock.engine)
        self.products = [product(self.context, name) for name in "ab"]
        self.on_hand = dict(zip(self.products, (first, second), strict=True))
        self.reserved = dict.fromkeys(self.products, 0)
        self.sold: list[Sold] = []
        levels = [{"product_id": each, "on_hand": much} for each, much in self.on_hand.items()]
        call(self.context, "inventory.update_stock_levels", levels=levels)

    def _refusal(self, operation: str, given: dict[str, Any]) -> str | None:
        """Call with a key, twice; both say the same."""
        keyed = replace(self.context, idempotency_key=f"key_{next(_NUMBERS)}")
        try:
            answer = call(keyed, operation, given)
        except Permanent as refused:
            return refused.code
        assert call(keyed, operation, given) == answer
        self.answer = answer
        return None

    @precondition(lambda self: len(self.sold) < 6)
    @rule(first=st.integers(0, 8), second=st.integers(1, 8))
    def sell(self, first: int, second: int) -> None:
        goods = {each: much for each, much in zip(self.products, (first, second), strict=True) if much}
        self.sold.append(Sold(order(self.context, **goods), goods))

    @precondition(lambda self: self.sold)
    @rule(which=_ORDERS, step=st.integers(0, 3))
    def go_on(self, which: int, step: int) -> None:
        """Take any step: what is not the next is refused, and changes nothing."""
        sold = self.sold[which % len(self.sold)]
        refused = self._refusal(_STEPS[step], sold.given(step))
        if step != sold.steps:
            assert refused is not None
            return
        if step == 0 and any(self.on_hand[each] - self.reserved[each] < much for each, much in sold.goods.items()):
            assert refused == "STOCK_SHORT"
            return
        assert refused is None
        if step:
            sold.ids[_KEYS[step]] = self.answer[_KEYS[step]]
        sold.steps += 1
        self._count(sold, step, 1)

    @precondition(lambda self: self.sold)
    @rule(which=_ORDERS, steps=st.integers(1, 4))
    def go_far(self, which: int, steps: int) -> None:
        """Take the next steps, as a flow does."""
        sold = self.sold[which % len(self.sold)]
        for _ in range(steps):
            if sold.steps < _SHIPPED:
                self.go_on(which, sold.steps)

    @precondition(lambda self: self.sold)
    @rule(which=_ORDERS, step=st.integers(0, 3))
    def go_back(self, which: int, step: int) -> None:
        """Undo any step: the last is undone, one that is undone stays so, one that others stand on is refused."""
        sold = self.sold[which % len(self.sold)]
        key = _KEYS[step]
        named = sold.order_id if step == 0 else sold.ids.get(key, "none")
        refused = self._refusal(_BACK[step], {key: named})
        if step < sold.steps - 1:
            assert refused is not None
        elif step >= sold.steps:
            assert (refused, self.answer["change"]) == (None, "none")
        else:
            assert (refused, self.answer["change"]) == (None, "updated")
            sold.steps -= 1
            self._count(sold, step, -1)

    def _count(self, sold: Sold, step: int, sign: int) -> None:
        for each, much in sold.goods.items():
            if step == 0:
                self.reserved[each] += much * sign
            elif step == _SHIPPED - 1:
                self.reserved[each] -= much * sign
                self.on_hand[each] -= much * sign

    @rule(which=st.integers(0, 1), change=st.integers(-10, 10).filter(bool))
    def adjust(self, which: int, change: int) -> None:
        each = self.products[which]
        refused = self._refusal("inventory.adjust_stock", {"product_id": each, "change": change, "reason": "count"})
        if self.on_hand[each] - self.reserved[each] + change < 0:
            assert refused == "STOCK_SHORT"
        else:
            assert refused is None
            self.on_hand[each] += change

    @invariant()
    def the_stock_is_that_of_the_model_and_of_its_journal(self) -> None:
        for each in getattr(self, "products", ()):
            assert stock(self.context, each) == (self.on_hand[each], self.reserved[each])
            assert 0 <= self.reserved[each] <= self.on_hand[each]
        if hasattr(self, "products"):
            self._vet_journal()

    def _vet_journal(self) -> None:
        column = STOCK_MOVES.c
        with working(self.context) as desk:
            query = select(column.product_id, func.sum(column.quantity)).where(column.company == desk.company)
            found = desk.connection.execute(query.group_by(column.product_id)).all()
        sums: dict[str, Decimal] = {row[0]: row[1] for row in found}
        assert all(sums.get(each, 0) == much for each, much in self.on_hand.items())

    def teardown(self) -> None:
        """Put all back."""
        for sold in getattr(self, "sold", ()):
            for step in reversed(range(sold.steps)):
                self.go_back(self.sold.index(sold), step)
        if hasattr(self, "products"):
            assert not any(self.reserved.values())
            self.the_stock_is_that_of_the_model_and_of_its_journal()


TestStock = Stock.TestCase
TestStock.settings = settings(
    max_examples=10, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
