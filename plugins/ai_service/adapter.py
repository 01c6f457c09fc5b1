"""Asks a prediction service over HTTP: the module port `ai`, answered by models of somebody's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.sdk import (
    Adapter,
    CallRequest,
    Context,
    Endpoint,
    Health,
    Permanent,
    expect_success,
    measured,
    read_json,
)
from server.sdk.ports import AI
from server.sdk.ports.ai import CONTEXT_POOR, MODEL_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

_ABSENT, _UNPROCESSABLE = 404, 422
_SHOWN = 500


class AiServiceAdapter(Adapter):
    """`POST /predict` with model, action and context, and a bearer token."""

    id = "ai_service"
    version = "0.1.0"
    operations = tuple(AI)

    def execute(self, request: CallRequest, context: Context) -> Any:
        """Ask; 404 is a model that the service does not have, 422 a context that lacks something."""
        endpoint = self.endpoint(context.config)
        headers = {**endpoint.headers, "X-Correlation-ID": context.correlation_id}
        response = context.http.post(f"{endpoint.base_url}/predict", json=dict(request.input), headers=headers)
        if response.status_code == _ABSENT:
            message = f"the service has no model {request.input['model']} with the action {request.input['action']}"
            raise Permanent(message, code=MODEL_UNKNOWN, source=self.id, status=_ABSENT)
        if response.status_code == _UNPROCESSABLE:
            said = response.text[:_SHOWN]
            raise Permanent("the service cannot use the context", code=CONTEXT_POOR, source=self.id, answer=said)
        answer = read_json(expect_success(response, context.clock.now()))
        if not isinstance(answer, dict):
            return {}  # the output schema says what is missing
        return {**answer, "model": request.input["model"], "action": request.input["action"]}

    def transform(self, answer: Any) -> dict[str, Any]:
        """Take from the answer what the port promises."""
        known = ("model", "action", "prediction", "confidence", "factors", "version")
        return {name: answer[name] for name in known if name in answer}

    def health_check(self, context: Context) -> Health:
        """Ask the service how it is."""

        def ask() -> Mapping[str, Any]:
            endpoint = self.endpoint(context.config)
            response = context.http.get(f"{endpoint.base_url}/health", headers=endpoint.headers)
            return {"status": expect_success(response, context.clock.now()).status_code}

        return measured(context, ask)

    def endpoint(self, config: Mapping[str, Any]) -> Endpoint:
        """Return where the service is, and the headers that show who we are."""
        return Endpoint(
            base_url=config["base_url"].rstrip("/"),
            headers={"Authorization": f"Bearer {config['token']}"},
        )
