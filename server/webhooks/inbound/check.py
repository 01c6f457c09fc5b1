"""The rules of an inbound webhook between its fields and with the rest of the folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.documents.fields import CONTRADICTION, WRONG_VALUE
from server.documents.findings import shown
from server.documents.nodes import MappingNode, ScalarNode, plain, whole
from server.kernel.errors import Permanent
from server.sdk.headers import FRAMING
from server.transport.headers import vet_header
from server.webhooks.inbound.conflicts import ROUTE_CONFLICT, rival_of
from server.webhooks.inbound.emit_check import check_emitting

if TYPE_CHECKING:
    from server.documents.checking import Checker

_NO_CONTENT = frozenset({204, 205})


def check_inbound(root: MappingNode, checker: Checker) -> None:
    """Check the answer, what does not go together, and the mapping."""
    _check_answer(root.get("answer"), checker)
    _check_route(root, checker)
    check_emitting(root, checker)


def _check_route(root: MappingNode, checker: Checker) -> None:
    path, methods = root.get("path"), root.get("methods")
    if path is None or not whole(path) or (methods is not None and not whole(methods)):
        return
    body = {"name": root.text("name"), "direction": "inbound", "path": plain(path)}
    if methods is not None:
        body["methods"] = plain(methods)
    names = [name for name in checker.catalog.names("Webhook") if name != body["name"]]
    rival = rival_of(body, (each for name in names for each in checker.catalog.bodies("Webhook", name)))
    if rival is not None:
        checker.error(ROUTE_CONFLICT, path, f"the Webhook {shown(rival)} takes requests to this path already")


def _check_answer(answer: object, checker: Checker) -> None:
    if not isinstance(answer, MappingNode):
        return
    status, body = answer.get("status"), answer.key("body") or answer.key("map")
    if body is not None and isinstance(status, ScalarNode) and status.value in _NO_CONTENT:
        checker.error(CONTRADICTION, body, f"an answer with status {status.value} has no body")
    headers = answer.get("headers")
    for key, _ in headers.entries if isinstance(headers, MappingNode) else []:
        name = str(key.value)
        try:
            vet_header(name, "")
        except Permanent as refusal:
            checker.error(WRONG_VALUE, key, refusal.message)
            continue
        if name.lower() in FRAMING or name.lower() in ("content-type", "set-cookie", "date", "server"):
            checker.error(WRONG_VALUE, key, f"the header {name} is not set here")
