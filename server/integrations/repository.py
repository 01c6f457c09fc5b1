"""Where integrations are kept."""

from __future__ import annotations

from server.integrations.aggregate import Integration
from server.store.repository import SqlRepository

INTEGRATIONS: SqlRepository[Integration] = SqlRepository("integrations", Integration)
