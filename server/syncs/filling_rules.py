"""The rules of a sync job that fills an inbound webhook, with what the webhook says of itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from server.documents.fields import CONTRADICTION, MISSING_KEY, UNKNOWN_KEY
from server.documents.findings import nearest, shown
from server.documents.nodes import MappingNode
from server.kernel.errors import code
from server.syncs.filling import PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.documents.checking import Checker

CANNOT_FILL = code(
    "CANNOT_FILL",
    "What a sender missed cannot be brought to this webhook: it is to be inbound, with a `dedupe.key` and bodies in JSON.",
)
_MAP_OPTIONS = frozenset(("from", "each", "value"))
_PARAM = re.compile(r"\{([a-z][a-z0-9_]*)\}")


def check_filling(root: MappingNode, target: MappingNode, checker: Checker) -> None:
    """Check that the webhook takes what is brought, and that the map makes the parts of a request."""
    two_way = root.key("two_way")
    if two_way is not None:
        checker.error(CONTRADICTION, two_way, '"two_way" does not go with a webhook as target')
    name = target.text("webhook")
    bodies = list(checker.catalog.bodies("Webhook", name)) if name else []
    if not bodies:
        return  # that there is none has its finding
    problem = _problem(bodies[0])
    if problem is not None:
        checker.error(CANNOT_FILL, target.get("webhook") or target, f"{shown(name)} {problem}")
        return
    path = bodies[0].get("path")
    params = _PARAM.findall(path) if isinstance(path, str) else []
    map_ = root.get("map")
    if map_ is None:
        if params:
            checker.error(MISSING_KEY, target, f'"map" is missing: it makes `params` ({", ".join(params)}) of the path')
    elif isinstance(map_, MappingNode) and not map_.broken and not _MAP_OPTIONS & set(map_.keys()):
        _check_parts(map_, params, checker)


def _problem(webhook: Mapping[str, Any]) -> str | None:
    dedupe = webhook.get("dedupe")
    if webhook.get("direction") != "inbound":
        return "is no inbound webhook"
    if not isinstance(dedupe, dict) or "key" not in dedupe:
        return "has no `dedupe.key`: what came already could not be told from what did not"
    if webhook.get("format") not in (None, "json"):
        return f"takes bodies in {webhook['format']}, not in JSON"
    return None


def _check_parts(map_: MappingNode, params: Sequence[str], checker: Checker) -> None:
    for key, _ in map_.entries:
        if key.value not in PARTS:
            near = nearest(str(key.value), PARTS)
            checker.error(UNKNOWN_KEY, key, f"a request has no {shown(key.value)}: {', '.join(PARTS)}", near)
    if map_.get("body") is None:
        checker.error(MISSING_KEY, map_, '"body" is missing: the request that the sender would have sent')
    made = map_.get("params")
    if made is None and params:
        checker.error(MISSING_KEY, map_, f'"params" is missing: the path has {", ".join(params)}')
    if not isinstance(made, MappingNode) or made.broken or _MAP_OPTIONS & set(made.keys()):
        return
    for name in params:
        if name not in made.keys():  # noqa: SIM118 - a node of a document is no dict
            checker.error(MISSING_KEY, made, f'"{name}" is missing: the path has it')
    for key, _ in made.entries:
        if key.value not in params:
            checker.error(UNKNOWN_KEY, key, f"the path has no {shown(key.value)}", nearest(str(key.value), params))
