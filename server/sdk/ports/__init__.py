"""Module ports: what an ERP module promises, whichever ERP stands behind it.

A port names operations with their schemas, what they refuse with, and which operation makes each undone. A plugin takes the
operations that it answers from the port (`SALES["customers.get"]`), so that a flow or sync written for one ERP runs on
another. The codes stand in the modules of the ports.
"""

from .ai import AI
from .deals import DEALS
from .finance import FINANCE
from .hr import HR
from .inventory import INVENTORY
from .logistics import LOGISTICS
from .orders import ORDERS
from .port import Port, Promise
from .procurement import PROCUREMENT
from .production import PRODUCTION
from .products import PRODUCTS
from .projects import NOTIFICATIONS, PROJECTS
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
    HR,
    PROJECTS,
    NOTIFICATIONS,
    AI,
)

__all__ = [
    "AI",
    "CUSTOMER_CONFLICT",
    "CUSTOMER_UNKNOWN",
    "DEALS",
    "FINANCE",
    "HR",
    "INVENTORY",
    "LOGISTICS",
    "MAINTENANCE",
    "NOTIFICATIONS",
    "ORDERS",
    "PORTS",
    "PROCUREMENT",
    "PRODUCTION",
    "PRODUCTS",
    "PROJECTS",
    "QUALITY",
    "SALES",
    "WAREHOUSE",
    "Port",
    "Promise",
]
