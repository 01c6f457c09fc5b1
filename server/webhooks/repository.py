"""Where webhooks are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.store.repository import SqlRepository
from server.webhooks.aggregate import Webhook

if TYPE_CHECKING:
    from server.store.repository import Repository

WEBHOOKS: Repository[Webhook] = SqlRepository("webhooks", Webhook)
