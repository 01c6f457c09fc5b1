"""Calls of the embedded ERP, as Crossdock makes them: checked before, and their answers after."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from plugins.erp_sandbox.adapter import ErpSandboxAdapter
from server.sdk import CallRequest, Permanent, Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.sdk import Context, Emitted

ERP = ErpSandboxAdapter()


@cache
def _output(operation: str) -> Schema:
    found = ERP.operation(operation)
    assert found is not None, operation
    return Schema(dict(found.output_schema))


def call(context: Context, operation: str, given: Mapping[str, Any] | None = None, /, **more: Any) -> dict[str, Any]:
    """Call an operation and return its answer."""
    request = CallRequest(operation, {**(given or {}), **more})
    assert ERP.validate(request).is_valid, ERP.validate(request).errors
    answer = ERP.transform(ERP.execute(request, context))
    assert not _output(operation).errors(answer), (_output(operation).errors(answer), answer)
    return answer


def refusal(context: Context, operation: str, given: Mapping[str, Any] | None = None, /, **more: Any) -> Permanent:
    """Call an operation that is refused and return its error."""
    with pytest.raises(Permanent) as refused:
        call(context, operation, given, **more)
    return refused.value


def told(context: Context, *types: str) -> list[Emitted]:
    """Return the events that wait, of some types or of all."""
    waiting = ERP.outbox.waiting(context, 1000)
    return [each for each in waiting if not types or each.type in types]
