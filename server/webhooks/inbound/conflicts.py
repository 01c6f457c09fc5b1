"""Endpoints of a workspace that would take the same requests: their paths have one shape and they share a method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.kernel.errors import code
from server.webhooks.inbound.paths import read_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROUTE_CONFLICT = code(
    "ROUTE_CONFLICT", "Another inbound webhook of the workspace takes the same requests: the same path and method."
)
_DEFAULT = ("POST",)


def rival_of(body: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the name of another webhook that takes requests of this one; a body that cannot be read has no rival."""
    mine = _claims(body)
    for each in others:
        if each.get("name") != body.get("name") and mine & _claims(each):
            return str(each.get("name"))
    return None


def _claims(body: Mapping[str, Any]) -> set[tuple[tuple[str, ...], str]]:
    path, methods = body.get("path"), body.get("methods", _DEFAULT)
    if body.get("direction") != "inbound" or not isinstance(path, str) or not isinstance(methods, (list, tuple)):
        return set()
    try:
        shape = read_path(path).shape
    except ValueError:
        return set()
    return {(shape, str(method)) for method in methods}
