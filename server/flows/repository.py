"""Where flows are kept."""

from __future__ import annotations

from server.flows.aggregate import Flow
from server.store.repository import SqlRepository

FLOWS: SqlRepository[Flow] = SqlRepository("flows", Flow)
