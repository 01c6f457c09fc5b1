"""Whatever a plugin raises becomes one of the kernel's errors with the one shape, and without its secrets."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

from server.kernel.errors import CrossdockError, Permanent, Postponed, Retryable, Skipped, code
from server.telemetry.redaction import redact
from server.transport.redaction import redact_secrets

if TYPE_CHECKING:
    from server.integrations.guards import Call

PLUGIN_BROKEN = code(
    "PLUGIN_BROKEN", "The plugin raised an error of its own, which is a fault in it; `stack` says where."
)

_FRAMES = 12
_LONGEST_CODE = 64


def named(error: CrossdockError, call: Call) -> CrossdockError:
    """Return the same kind of failure, told as ours: redacted, with the integration as its source."""
    kind: type[CrossdockError] = Permanent
    for each in (Skipped, Postponed, Retryable):
        if isinstance(error, each):
            kind = each
            break
    name = error.code if isinstance(error.code, str) and _is_code(error.code) else PLUGIN_BROKEN
    after = error.after if isinstance(error.after, int | float) and 0 <= error.after < float("inf") else None
    failure = kind(_said(error.message, call), code=name, source=call.source, after=after)
    failure.details = clean(error.details, call)
    return failure


def unnamed(error: BaseException, call: Call) -> CrossdockError:
    """Return the failure for an error that no plugin should let out; only what may pass is worth another try."""
    if isinstance(error, OSError | MemoryError):
        failure: CrossdockError = Retryable(f"{type(error).__name__} in the plugin", source=call.source)
    else:
        failure = broken(call, f"{type(error).__name__} was raised")
    failure.details = {"stack": _stack(error)}
    return failure


def broken(call: Call, what: str) -> Permanent:
    return Permanent(f"the plugin {call.plugin.name} is at fault: {what}", code=PLUGIN_BROKEN, source=call.source)


def _stack(error: BaseException) -> list[str]:
    """Return where it came from, innermost last, as file, line and function: no values, so no secrets."""
    frames = traceback.extract_tb(error.__traceback__, limit=-_FRAMES)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def _is_code(text: str) -> bool:
    return len(text) <= _LONGEST_CODE and text.isascii() and text.replace("_", "").isalnum() and text.isupper()


def _said(message: Any, call: Call) -> str:
    return redact_secrets(message if isinstance(message, str) else type(message).__name__, call.secrets)


def clean(details: Any, call: Call) -> dict[str, Any]:
    """Return details as JSON without secrets, cut where they are long."""
    safe = redact(details if isinstance(details, dict) else {})
    return _without(safe, call) if isinstance(safe, dict) else {}


def _without(value: Any, call: Call) -> Any:
    if isinstance(value, str):
        return redact_secrets(value, call.secrets)
    if isinstance(value, dict):
        return {redact_secrets(key, call.secrets): _without(each, call) for key, each in value.items()}
    if isinstance(value, list):
        return [_without(each, call) for each in value]
    return value
