"""What sync jobs can read from Tryton."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugins.tryton.collections import COLLECTIONS
from plugins.tryton.reading import CollectionRead
from plugins.tryton.stock_moves import STOCK, StockRead
from server.sdk.ports import PORTS

if TYPE_CHECKING:
    from server.sdk import Operation

READ: tuple[CollectionRead, ...] = (*(CollectionRead(each) for each in COLLECTIONS), StockRead(STOCK))
LISTED: tuple[Operation, ...] = tuple(
    each.operation for each in READ if not any(each.operation in port for port in PORTS)
)
"""Operations that no port has: they are for reading alone."""
