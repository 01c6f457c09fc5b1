"""What is special about this plugin; the contract suite tests the rest (`crossdock plugin check`)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import requests

from plugins.ai_service.adapter import AiServiceAdapter
from plugins.ai_service.mock import AiServiceMock
from server.kernel.clock import ManualClock
from server.sdk import CallRequest, Context, Permanent, Tenant

SERVICE = AiServiceAdapter()
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("model", "context", "code"),
    [("no-such-model", {"amount": 1}, "MODEL_UNKNOWN"), ("deal-success-predictor", {}, "CONTEXT_POOR")],
)
def test_what_the_service_does_not_know_has_the_codes_of_the_port(
    model: str, context: dict[str, int], code: str
) -> None:
    given = {"model": model, "action": "predict-close-probability", "context": context}
    with AiServiceMock() as mock, requests.Session() as http:
        about = Context(
            correlation_id="cor_1",
            tenant=Tenant("acme", "main"),
            user=None,
            timestamp=NOW,
            http=http,
            clock=ManualClock(NOW),
            config=mock.config,
        )
        with pytest.raises(Permanent) as refused:
            SERVICE.execute(CallRequest("ai.predict", given), about)
    assert refused.value.code == code
