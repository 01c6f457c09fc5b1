"""Module ports: what an ERP module promises, whichever ERP stands behind it.

A port names operations with their schemas, what they refuse with, and which operation makes each undone. A plugin takes the
operations that it answers from the port (`SALES["customers.get"]`), so that a flow or sync written for one ERP runs on
another. The codes stand in the modules of the ports.
"""

from .deals import DEALS
from .finance import FINANCE
from .orders import ORDERS
from .port import Port, Promise
from .products import PRODUCTS
from .sales import CUSTOMER_CONFLICT, CUSTOMER_UNKNOWN, SALES

PORTS: tuple[Port, ...] = (SALES, PRODUCTS, DEALS, ORDERS, FINANCE)

__all__ = [
    "CUSTOMER_CONFLICT",
    "CUSTOMER_UNKNOWN",
    "DEALS",
    "FINANCE",
    "ORDERS",
    "PORTS",
    "PRODUCTS",
    "SALES",
    "Port",
    "Promise",
]
