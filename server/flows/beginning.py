"""What a step begins with: its condition, and its input, worked out once and kept with its row. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from server.flows.flow import Approve, Atomic, Block, Call, Child, Choose, Emit, Parallel, Put, Sleep, Wait
from server.kernel.clock import parse_rfc3339, rfc3339
from server.kernel.errors import Permanent, code
from server.mapping.values import kind_of, truthy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from server.flows.flow import Step
    from server.flows.rows import Row
    from server.mapping import Expression

FLOW_ITEMS = code("FLOW_ITEMS", "`for_each` goes through a list of 10,000 items at most, and this is no such list.")
FLOW_COUNT = code("FLOW_COUNT", "`count` of `wait_for` gives no whole number from 0 to 10,000.")
FLOW_MOMENT = code("FLOW_MOMENT", "`until` of `sleep` gives no date or time.")
MOST_ITEMS = 10_000


def begin(step: Step, row: Row, scope: Mapping[str, Any], now: datetime) -> None:
    """Fill in what the step begins with; what needs nobody else is done at once.

    Raises:
        Permanent: it cannot be worked out; nothing was done.

    """
    if step.when is not None and not truthy(step.when.run(scope)):
        row.move("skipped")
        row.ended_at = now
        return
    if step.timeout is not None and (step.container or isinstance(step.work, Child)):
        row.note["until"] = rfc3339(now + timedelta(seconds=step.timeout))
    _fill(step, row, scope, now)


def _fill(step: Step, row: Row, scope: Mapping[str, Any], now: datetime) -> None:
    match step.work:
        case Call(each=None, calling=calling):
            row.input = calling.with_.run(scope)
        case Call(each=each) | Block(each=each):
            row.input = _items(each, scope)
        case Choose(branches=branches):
            chosen = (n for n, each in enumerate(branches) if each.when is None or truthy(each.when.run(scope)))
            row.note["taken"] = next(chosen, None)
        case Put(made=made):
            row.result = made.run(scope)
            row.move("done")
            row.ended_at = now
        case Child(with_=with_):
            row.input = with_.run(scope)
        case Parallel() | Atomic():
            pass
        case _:
            _ask(step, row, scope, now)


def _ask(step: Step, row: Row, scope: Mapping[str, Any], now: datetime) -> None:
    match step.work:
        case Emit():
            _emit(step.work, row, scope)
        case Wait():
            _wait(step.work, row, scope, now)
        case Sleep():
            _sleep(step.work, row, scope, now)
        case Approve():
            row.note["message"] = step.work.message.run(scope)
            row.note["until"] = rfc3339(now + timedelta(seconds=step.work.timeout))
            row.move("waiting")


def _items(each: Expression | None, scope: Mapping[str, Any]) -> list[Any]:
    items = each.run(scope) if each is not None else None
    if items is None:
        return []
    if type(items) is not list or len(items) > MOST_ITEMS:
        what = f"{len(items)} items" if type(items) is list else f"a {kind_of(items)}"
        message = f"for_each goes through a list of up to {MOST_ITEMS} items, not {what}"
        raise Permanent(message, code=FLOW_ITEMS, source="flow")
    return items


def _emit(work: Emit, row: Row, scope: Mapping[str, Any]) -> None:
    made = work.made.run(scope)
    subject = made.get("subject")
    row.input = {
        "type": work.type,
        "subject": subject if subject is None or isinstance(subject, str) else str(subject),
        "data": made.get("data", {}),
        "version": work.version,
    }


def _wait(work: Wait, row: Row, scope: Mapping[str, Any], now: datetime) -> None:
    needed = work.count.run(scope)
    whole = isinstance(needed, int) and not isinstance(needed, bool)
    if not whole and needed == (made := _whole(needed)):
        needed, whole = made, True
    if not whole or not 0 <= needed <= MOST_ITEMS:
        message = f"a wait is for a whole number of events from 0 to {MOST_ITEMS}, not for {kind_of(needed)}"
        raise Permanent(message, code=FLOW_COUNT, source="flow")
    row.note["needed"] = int(needed)
    if work.match is not None:
        row.note["value"] = work.match[1].run(scope)
    row.note["until"] = rfc3339(now + timedelta(seconds=work.timeout))
    row.move("waiting")


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, ArithmeticError):
        return None


def _sleep(work: Sleep, row: Row, scope: Mapping[str, Any], now: datetime) -> None:
    if work.until is None:
        until = now + timedelta(seconds=work.seconds or 0.0)
    else:
        written = work.until.run(scope)
        try:
            until = parse_rfc3339(written if "T" in written else f"{written}T00:00:00Z")
        except (TypeError, ValueError, AttributeError) as error:
            message = "sleep goes on until a date or a time in RFC 3339"
            raise Permanent(message, code=FLOW_MOMENT, source="flow") from error
    row.note["until"] = rfc3339(until)
    row.move("waiting")
