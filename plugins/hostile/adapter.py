"""Each operation breaks another promise of the adapter contract; `how` says which."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from server.sdk import Adapter, CallRequest, Context, Health, Operation, Permanent, Retryable, Validation

if TYPE_CHECKING:
    from collections.abc import Callable

_HUGE = 3_000_000
_ANYTHING = {"type": "object"}


def _how(*words: str) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["how"],
        "properties": {"how": {"enum": list(words)}},
    }


class OddError(Exception):
    """An error that cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text for you")


def _cycle() -> dict[str, Any]:
    knot: dict[str, Any] = {}
    knot["self"] = knot
    return knot


def _deep() -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for _ in range(100_000):
        nested = {"in": nested}
    return nested


_ANSWERS: dict[str, Callable[[], Any]] = {
    "set": lambda: {"value": {1, 2}},
    "bytes": lambda: {"value": b"x"},
    "object": lambda: {"value": object()},
    "nan": lambda: {"value": float("nan")},
    "number-key": lambda: {1: "one"},
    "surrogate": lambda: {"value": "\ud800"},
    "cycle": _cycle,
    "deep": _deep,
    "huge": lambda: {"value": ["x"] * _HUGE},
    "long": lambda: {"value": "x" * (20 * _HUGE)},
    "list": lambda: [1, 2],
    "nothing": lambda: None,
    "breach": lambda: {"value": 1, "more": 2},
    "good": lambda: {"value": 1},
}


def _recurse() -> Any:
    return _recurse()


def _odd(context: Context) -> dict[str, Callable[[], BaseException]]:
    password = context.config.get("password", "")
    return {
        "key": lambda: KeyError(password),
        "leak": lambda: RuntimeError(f"login as admin with {password} failed at https://admin:{password}@erp.test/"),
        "leak-named": lambda: Retryable(
            f"no answer for {password}", detail={"tried": [password]}, cause=f"?token={password}"
        ),
        "leak-cause": lambda: _caused(RuntimeError(password)),
        "silent": OddError,
        "exit": lambda: SystemExit(3),
        "interrupt": KeyboardInterrupt,
        "stop": StopIteration,
        "memory": MemoryError,
        "network": lambda: ConnectionResetError(104, "reset"),
        "bad-details": lambda: Permanent("odd", thing=object(), huge="x" * 100_000),
        "bad-after": lambda: Retryable("odd", after=float("nan")),
        "bad-code": lambda: Permanent("odd", code="not a code\n<b>"),
    }


def _caused(cause: BaseException) -> BaseException:
    error = ValueError("inner trouble")
    error.__cause__ = cause
    return error


class HostileAdapter(Adapter):
    """Misbehaves as its input asks."""

    id = "hostile"
    version = "1.0.0"
    operations = (
        Operation(
            name="answer.give",
            about="Answer with something that is no JSON, or breaks the output schema.",
            input_schema=_how(*_ANSWERS),
            output_schema={
                "type": "object",
                "additionalProperties": False,
                "required": ["value"],
                "properties": {"value": True},
            },
        ),
        Operation(
            name="error.raise",
            about="Raise an error that no plugin should raise, or one that shows a secret.",
            input_schema={
                "type": "object",
                "required": ["how"],
                "properties": {"how": {"type": "string", "minLength": 1}},
                "additionalProperties": False,
            },
            output_schema=_ANYTHING,
        ),
        Operation(
            name="call.hang",
            about="Hang, in one of the three steps of a call.",
            input_schema=_how("validate", "execute", "transform", "recurse"),
            output_schema=_ANYTHING,
        ),
    )

    def __init__(self) -> None:
        self.released = threading.Event()

    def validate(self, request: CallRequest) -> Validation:
        result = super().validate(request)
        if result.is_valid and request.input["how"] == "validate":
            self.released.wait()
        return result

    def execute(self, request: CallRequest, context: Context) -> Any:
        how = request.input["how"]
        if request.operation == "error.raise":
            made = _odd(context).get(how)
            raise made() if made else RuntimeError(how)
        if how == "execute":
            self.released.wait()
        if how == "recurse":
            return _recurse()
        return how

    def transform(self, answer: Any) -> dict[str, Any]:
        if answer == "transform":
            self.released.wait()
        answers: dict[str, Any] = _ANSWERS.get(answer, dict)()
        return answers

    def health_check(self, context: Context) -> Health:
        raise OddError(context.config.get("password"))
