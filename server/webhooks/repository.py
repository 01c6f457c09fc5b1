"""Where webhooks are kept."""

from __future__ import annotations

from server.store.repository import SqlRepository
from server.webhooks.aggregate import Webhook

WEBHOOKS: SqlRepository[Webhook] = SqlRepository("webhooks", Webhook)
