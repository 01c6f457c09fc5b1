"""The port `ai`: what a model makes of a context."""

from __future__ import annotations

from typing import Any

from server.kernel.errors import code
from server.sdk.ports.port import Port, read
from server.sdk.ports.shapes import SHARE, answer, given, listed, text

MODEL_UNKNOWN = code(
    "MODEL_UNKNOWN", "The service has no such model, or the model no such action; `details.known` lists them."
)
CONTEXT_POOR = code("CONTEXT_POOR", "The context lacks what the action needs; `details.missing` names it.")

CONTEXT: dict[str, Any] = {"type": "object", "maxProperties": 100}
PREDICTION = answer(
    {
        "model": text(100),
        "action": text(100),
        "prediction": {"description": "What the action is about: a probability, or a list of figures."},
        "confidence": SHARE,
    },
    {"factors": listed(answer({"name": text(100), "effect": {"type": "number"}}), 0, 50), "version": text(100)},
)

AI = Port(
    "ai",
    (
        read(
            "ai.predict",
            "Let a model predict something from a context.",
            given({"model": text(100), "action": text(100), "context": CONTEXT}, ["model", "action", "context"]),
            PREDICTION,
            (MODEL_UNKNOWN, CONTEXT_POOR),
        ),
    ),
)
