"""What the contract asks of plugins that offer transactions: the calls of a block are kept together or not at all."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from server.kernel.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from server.sdk.adapter import Adapter, CallRequest, Transaction
    from server.sdk.context import Context
    from server.sdk.outbox import Emitted


class _Left(Exception):
    """Raised by the check itself, in the middle of a block."""


def left_by_an_exception(adapter: Adapter, calls: Mapping[str, CallRequest], context: Context) -> Iterator[str]:
    """Look whether a block that is left by an exception leaves anything."""
    # a clock that stands, since an answer may say when it was made
    context = replace(context, clock=ManualClock(context.clock.now()))
    began = adapter.transaction(context)
    if began is None:
        return
    before = _state(adapter, calls, context)
    with suppress(_Left), began as together:
        _made(together, calls, leave=True)
    if _state(adapter, calls, context) != before:
        yield "a block that was left by an exception has changed something"


def ended_well(adapter: Adapter, calls: Mapping[str, CallRequest], context: Context) -> Iterator[str]:
    """Look whether a block that ends well is kept, with its events, once."""
    told = len(_events(adapter, context))
    began, second = adapter.transaction(context), adapter.transaction(context)
    if began is None or second is None:
        return
    with began as together:
        first = _made(together, calls)
    events = _events(adapter, context)[told:]
    with second as together:
        again = _made(together, calls)
    for name, call in calls.items():
        operation = adapter.operation(call.operation)
        if operation is None or not operation.writes:
            continue
        if first[name] != again[name]:
            yield f"{name}: the same key was answered otherwise the second time"
    if len(_events(adapter, context)) != told + len(events):
        yield "the same keys have brought about events again"
    if not {each.cause for each in events} <= calls.keys():
        yield "an event does not name the key of its call as its cause"


def _made(together: Transaction, calls: Mapping[str, CallRequest], *, leave: bool = False) -> dict[str, dict[str, Any]]:
    made = {name: together.call(call, name) for name, call in calls.items()}
    if leave:
        raise _Left
    return made


def _events(adapter: Adapter, context: Context) -> Sequence[Emitted]:
    return adapter.outbox.waiting(context, 1000) if adapter.outbox is not None else ()


def _state(adapter: Adapter, calls: Mapping[str, CallRequest], context: Context) -> list[Any]:
    """Return all that can be seen: what the reading operations say, and the events."""
    seen: list[Any] = [each.id for each in _events(adapter, context)]
    for call in calls.values():
        operation = adapter.operation(call.operation)
        if operation is not None and not operation.writes:
            seen.append(adapter.transform(adapter.execute(call, context)))
    return seen
