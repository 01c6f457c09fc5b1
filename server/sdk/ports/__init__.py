"""Module ports: what an ERP module promises, whichever ERP stands behind it.

A port names operations with their schemas, what they refuse with, and which operation makes each undone. A plugin takes the
operations that it answers from the port (`SALES["customers.get"]`), so that a flow or sync written for one ERP runs on
another. The codes stand in the modules of the ports.
"""

from .deals import DEALS
from .finance import FINANCE
from .inventory import INVENTORY
from .logistics import LOGISTICS
from .orders import ORDERS
from .port import Port, Promise
from .procurement import PROCUREMENT
from .production import PRODUCTION
from .products import PRODUCTS
from .quality import MAINTENANCE, QUALITY
from .sales import CUSTOMER_CONFLICT, CUSTOMER_UNKNOWN, SALES
from .warehouse import WAREHOUSE

PORTS: tuple[Port, ...] = (
    SALES,
    PRODUCTS,
    DEALS,
    ORDERS,
    FINANCE,
    INVENTORY,
    WAREHOUSE,
    LOGISTICS,
    PRODUCTION,
    QUALITY,
    MAINTENANCE,
    PROCUREMENT,
)

__all__ = [
    "CUSTOMER_CONFLICT",
    "CUSTOMER_UNKNOWN",
    "DEALS",
    "FINANCE",
    "INVENTORY",
    "LOGISTICS",
    "MAINTENANCE",
    "ORDERS",
    "PORTS",
    "PROCUREMENT",
    "PRODUCTION",
    "PRODUCTS",
    "QUALITY",
    "SALES",
    "WAREHOUSE",
    "Port",
    "Promise",
]
