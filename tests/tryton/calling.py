"""Calls operations of the plugin as Crossdock does: checked on the way in and on the way out."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import requests

from plugins.tryton.adapter import TrytonAdapter
from server.kernel.clock import SystemClock
from server.sdk import CallRequest, Context, Schema, Tenant


class Caller:
    """`call(operation, key=…, **input)` returns the answer, which fits the port's schema."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.adapter = TrytonAdapter()
        self.http = requests.Session()

    def context(self, key: str | None) -> Context:
        return Context(
            correlation_id="cor_1",
            tenant=Tenant("default", "default"),
            user=None,
            timestamp=datetime.now(UTC),
            http=self.http,
            clock=SystemClock(),
            config=self.config,
            idempotency_key=key,
        )

    def call(self, operation: str, key: str | None = None, /, **given: Any) -> dict[str, Any]:
        request = CallRequest(operation, given)
        assert self.adapter.validate(request).is_valid, self.adapter.validate(request).errors
        found = self.adapter.operation(operation)
        assert found is not None
        key = key or (f"key_{uuid.uuid4().hex}" if found.writes else None)
        answer = self.adapter.transform(self.adapter.execute(request, self.context(key)))
        assert Schema(dict(found.output_schema)).errors(answer) == ()
        return answer
