"""Where integrations are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.integrations.aggregate import Integration
from server.store.repository import SqlRepository

if TYPE_CHECKING:
    from server.store.repository import Repository

INTEGRATIONS: Repository[Integration] = SqlRepository("integrations", Integration)
