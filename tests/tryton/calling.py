"""Calls operations of the plugin as Crossdock does, on a session that is not guarded: what is tested is what Tryton answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from plugins.tryton.adapter import TrytonAdapter
from server.kernel.clock import SystemClock
from server.sdk import Context, Tenant
from server.sdk.port_inputs.stage import World

if TYPE_CHECKING:
    import requests


def world_of(config: dict[str, Any], http: requests.Session) -> World:
    """Return the ERP that a config leads to."""

    def context(key: str | None) -> Context:
        return Context(
            correlation_id="cor_1",
            tenant=Tenant("default", "default"),
            user=None,
            timestamp=datetime.now(UTC),
            http=http,
            clock=SystemClock(),
            config=config,
            idempotency_key=key,
        )

    return World(TrytonAdapter(), context)
