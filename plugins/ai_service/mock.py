"""Plays a prediction service on a loopback port: one model, that says 0.5. `HttpMock` plays the bad days."""

from __future__ import annotations

import json
from typing import Any

from server.sdk import HttpMock, Received, Reply

_TOKEN = "mock-token-of-ai_service"  # noqa: S105 - the mock's own
_MODEL = "deal-success-predictor"


class AiServiceMock(HttpMock):
    """`POST /predict`, `GET /health`."""

    secrets = (_TOKEN,)

    @property
    def config(self) -> dict[str, Any]:
        """The config of an integration that leads here."""
        return {"base_url": self.url, "token": _TOKEN}

    def answer(self, request: Received) -> Reply:
        """Answer as the service does."""
        if request.headers.get("authorization") != f"Bearer {_TOKEN}":
            return Reply(401, {"error": "unauthorized"})
        if request.path == "/health":
            return Reply(200, {"status": "ok"})
        asked = json.loads(request.body)
        if asked["model"] != _MODEL:
            return Reply(404, {"error": "no such model"})
        if "amount" not in asked["context"]:
            return Reply(422, {"missing": ["amount"]})
        return Reply(200, {"prediction": 0.5, "confidence": 0.9, "factors": [], "version": "2026-11"})
