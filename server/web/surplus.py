"""What a view does not take is refused, so that nobody believes that it had an effect: query parameters, bodies of writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from flask import request

from server.web import bodies, problems
from server.web.idempotency import WRITES

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
_MARK = "crossdock_takes"


def takes(view: F, *parts: Literal["query", "json"]) -> F:
    """Mark what a view takes, besides what it is marked with already; without parts: nothing that is not marked."""
    setattr(view, _MARK, getattr(view, _MARK, frozenset()) | frozenset(parts))
    return view


def refuse_surplus(view: Any) -> None:
    """Refuse query parameters and a body that a view is known not to take; an empty object is no body.

    Raises:
        Invalid: UNKNOWN_FIELD for each; INVALID_VALUE for a parameter that is given more than once.
        TooLarge, Unsupported, Malformed: it is not even a body that one could take.

    """
    taken = getattr(view, _MARK, None)
    if taken is None:  # a page, which reads its forms itself
        return
    if "query" not in taken and request.args:
        raise problems.by_location({"query": {key: ["Unknown field."] for key in request.args}})
    repeated = [key for key, values in request.args.lists() if len(values) > 1]
    if repeated:  # which of them counts, two readers would say differently
        raise problems.by_location({"query": {key: ["Given more than once."] for key in repeated}})
    if "json" not in taken and request.method in WRITES and bodies.raw_body():
        body = bodies.read_json()
        if not isinstance(body, dict):
            raise problems.invalid({"_schema": ["Invalid input type."]})
        if body:
            raise problems.invalid({key: ["Unknown field."] for key in body})
