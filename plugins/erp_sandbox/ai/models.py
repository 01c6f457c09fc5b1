"""What there is to ask: shares that were seen, drawn towards what is usual; and a straight line through figures.

Nothing is learned and nothing is kept: the same context gives the same answer.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox.records import number, parts, refused
from server.sdk.ports.ai import CONTEXT_POOR, MODEL_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record

_USUAL = Decimal("0.3")
_WEIGHT = 5  # so many deals of the company's rate stand behind a customer's own
_LEAST, _MOST = Decimal("0.01"), Decimal("0.99")
_FIGURES = 1_000
_LARGEST = Decimal(10**15)


def _close_probability(context: Mapping[str, Any]) -> tuple[Any, Decimal, list[Record]]:
    """Predict how probably a deal is won: the customer's own share, drawn to the company's; less where it is unusually large."""
    usual = Decimal(str(_number(context, "conversion_rate", _USUAL)))
    won, lost = _number(context, "won", 0), _number(context, "lost", 0)
    own = (Decimal(str(won)) + usual * _WEIGHT) / (Decimal(str(won)) + Decimal(str(lost)) + _WEIGHT)
    amount, average = _number(context, "amount", 0), _number(context, "average_amount", 0)
    size = Decimal(1)
    if amount and average:
        size = min(max(2 / (1 + Decimal(str(amount)) / Decimal(str(average))), Decimal("0.5")), Decimal("1.2"))
    probability = min(max(own * size, _LEAST), _MOST)
    seen = Decimal(str(won)) + Decimal(str(lost))
    factors = [
        {"name": "usual", "effect": number(parts(usual))},
        {"name": "history", "effect": number(parts(own - usual))},
        {"name": "size", "effect": number(parts(own * size - own))},
    ]
    return number(parts(probability)), seen / (seen + _WEIGHT), factors


def _demand(context: Mapping[str, Any]) -> tuple[Any, Decimal, list[Record]]:
    """Predict the next figures of a row by a straight line through it; never less than nothing."""
    history = context.get("history")
    if not isinstance(history, list) or not history or len(history) > _FIGURES:
        raise refused(CONTEXT_POOR, f"`history` has to be a list of 1 to {_FIGURES} figures", missing=["history"])
    figures = [_figure("history", each) for each in history]
    mean = sum(figures, Decimal(0)) / len(figures)
    middle = Decimal(len(figures) - 1) / 2
    spread = sum(((index - middle) ** 2 for index in range(len(figures))), Decimal(0))
    rise = sum(((index - middle) * (each - mean) for index, each in enumerate(figures)), Decimal(0))
    slope = rise / spread if spread else Decimal(0)
    periods = min(max(int(_number(context, "periods", 1)), 1), 100)
    line = [max(mean + slope * (len(figures) + ahead - middle), Decimal(0)) for ahead in range(periods)]
    missed = sum((abs(each - (mean + slope * (index - middle))) for index, each in enumerate(figures)), Decimal(0))
    sure = 1 - min(missed / len(figures) / abs(mean), Decimal(1)) if mean else Decimal(0)
    return [number(parts(each)) for each in line], sure, [{"name": "trend", "effect": number(parts(slope))}]


MODELS: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], tuple[Any, Decimal, list[Record]]]] = {
    ("deal-success-predictor", "predict-close-probability"): _close_probability,
    ("demand-forecaster", "forecast-demand"): _demand,
}


def predict(_desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer from statistics."""
    model, action = given["model"], given["action"]
    work = MODELS.get((model, action))
    if work is None:
        known = [f"{name}/{what}" for name, what in MODELS]
        raise refused(MODEL_UNKNOWN, f"there is no model {model} with the action {action}", known=known)
    prediction, confidence, factors = work(given["context"])
    return {
        "model": model,
        "action": action,
        "prediction": prediction,
        "confidence": number(parts(confidence)),
        "factors": factors,
        "version": "statistics-1",
    }


def _number(context: Mapping[str, Any], name: str, default: Any) -> Any:
    value = context.get(name)
    if value is None:
        return default
    found = _figure(name, value)
    if found < 0:
        raise _poor(name)
    return found


def _figure(name: str, value: Any) -> Decimal:
    """Return a figure that can be reckoned with, to eight places."""
    try:
        found = Decimal(str(value)) if not isinstance(value, bool) else None
    except ArithmeticError:
        found = None
    if found is None or not found.is_finite() or found.copy_abs() > _LARGEST:
        raise _poor(name)
    return round(found, 8)


def _poor(name: str) -> Exception:
    return refused(
        CONTEXT_POOR, f"`{name}` has to be figures, below 10^15 and where they are counts not negative", missing=[name]
    )
