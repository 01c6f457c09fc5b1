"""The rules of an outbound webhook between its fields and with the rest of the folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.documents.expressions import check_map_reads, check_reads, check_template_reads
from server.documents.fields import CONTRADICTION, WRONG_VALUE
from server.documents.findings import nearest, shown
from server.documents.nodes import MappingNode, Node, ScalarNode, at, plain, whole
from server.documents.scalars import refuse_credential
from server.documents.schemas import compiled, violations
from server.events.matching import matches, pins_of
from server.events.spec import ENVELOPE_SCHEMA
from server.events.subscribing import body_of, check_pins, patterns_of
from server.integrations.auth_fields import header_of
from server.integrations.spec import takes_webhooks
from server.kernel.errors import Permanent, code
from server.sdk.headers import FRAMING
from server.transport.headers import vet_header
from server.webhooks.compiling import PLACE
from server.webhooks.dry_run import given_events
from server.webhooks.signing import check_signing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from server.documents.checking import Checker

UNKNOWN_EVENT_TYPE = code(
    "UNKNOWN_EVENT_TYPE", "No EventType of this name is known, but one with nearly the same name."
)
TEST_DATA = code(
    "TEST_DATA", "The data of a test breaks the schema of its event type: such an event is never accepted."
)
NO_ENDPOINT = code("NO_ENDPOINT", "The plugin of the integration takes no webhooks.")
_OURS = ("webhook-", "crossdock-", "cookie", "set-cookie")


def check_header(key: ScalarNode, value: Node, checker: Checker) -> None:
    """Refuse header names that are not ours to set, and credentials as values."""
    name = str(key.value)
    try:
        vet_header(name, "")
    except Permanent as refusal:
        checker.error(WRONG_VALUE, key, refusal.message)
        return
    if name.lower() in FRAMING or name.lower().startswith(_OURS):
        checker.error(WRONG_VALUE, key, f"the header {shown(name)} is written by the delivery itself")
    elif isinstance(value, ScalarNode) and isinstance(value.value, str) and not value.broken:
        before = len(checker.findings)
        refuse_credential(value, name, checker)
        _plain_ascii(value, checker) if len(checker.findings) == before else None


def _plain_ascii(value: ScalarNode, checker: Checker) -> None:
    if "{{" not in str(value.value):
        try:
            vet_header("x", str(value.value))
        except Permanent:
            checker.error(WRONG_VALUE, value, "a header holds printable ASCII only")


def check_webhook(root: MappingNode, checker: Checker) -> None:
    """Check the path, the integration, the event types, what expressions read, and the tests' events."""
    _check_target(root, checker)
    own = _own_headers(root)
    check_signing(root, own, checker)
    _check_auth(root, own, checker)
    stuck = root.key("on_stuck")
    if stuck is not None and root.get("order_by") is None:
        checker.error(CONTRADICTION, stuck, '"on_stuck" goes with "order_by": without an order nobody waits')
    types = list(_subscribed(root, checker))
    for name, body in types:
        _check_against(root, name, body, checker)
    _check_tests(root, checker)


def _check_target(root: MappingNode, checker: Checker) -> None:
    request = root.get("request")
    path = request.key("path") if isinstance(request, MappingNode) else None
    if path is not None and root.get("url") is not None:
        checker.error(CONTRADICTION, path, '"path" goes with "integration"; with "url" write the whole URL')
    integration = root.text("integration")
    bodies = list(checker.catalog.bodies("Integration", integration)) if integration else []
    if bodies and all(takes_webhooks(body, checker.catalog) is False for body in bodies):
        place = root.get("integration") or root
        checker.error(NO_ENDPOINT, place, f"the plugin of the Integration {shown(integration)} takes no webhooks")


def _check_auth(root: MappingNode, headers: Mapping[str, ScalarNode], checker: Checker) -> None:
    auth, key = root.get("auth"), root.key("auth")
    if not isinstance(auth, MappingNode) or key is None:
        return
    if root.get("integration") is not None:
        checker.error(CONTRADICTION, key, '"auth" goes with "url"; the integration has an "auth" of its own')
    name = header_of(auth)
    if name is not None and name.lower() in headers:
        message = f"the header {shown(name)} is written by the authentication"
        checker.error(CONTRADICTION, headers[name.lower()], message)


def _own_headers(root: MappingNode) -> dict[str, ScalarNode]:
    """Return the headers of `request` by name in lower case, each with the node of its key."""
    request = root.get("request")
    headers = request.get("headers") if isinstance(request, MappingNode) else None
    return {str(key.value).lower(): key for key, _ in headers.entries} if isinstance(headers, MappingNode) else {}


def _subscribed(root: MappingNode, checker: Checker) -> Iterator[tuple[str, Any]]:
    """Yield each known event type that the webhook takes, with the body that it gets; warn of names nearly known."""
    known = sorted(checker.catalog.names("EventType"))
    patterns, pins = patterns_of(root), check_pins(root, checker)
    for text, node in patterns:
        if "*" not in text and text not in known and (near := nearest(text, known)):
            checker.warning(UNKNOWN_EVENT_TYPE, node, f"there is no EventType {shown(text)}", near)
    for name in known:
        if any(matches(text, name) for text, _ in patterns):
            body = body_of(name, pins, checker)
            if body is not None:
                yield name, body


def _check_against(root: MappingNode, name: str, body: Any, checker: Checker) -> None:
    """Check what every expression reads against the schema of one event type."""
    schema = body.get("schema")
    if not isinstance(schema, dict) or compiled(schema) is None:
        return
    schemas = {"event": ENVELOPE_SCHEMA, "data": schema}
    for key in ("when", "order_by"):
        node = root.get(key)
        if node is not None:
            check_reads(node, PLACE, schemas, name, checker)
    fallback = root.get("fallback")
    for map_ in (root.get("map"), fallback.get("with") if isinstance(fallback, MappingNode) else None):
        if map_ is not None and whole(map_):
            check_map_reads(map_, PLACE, schemas, name, checker)
    request = root.get("request")
    headers = request.get("headers") if isinstance(request, MappingNode) else None
    texts = [request.get("path")] if isinstance(request, MappingNode) else []
    texts += [value for _, value in headers.entries] if isinstance(headers, MappingNode) else []
    for text in texts:
        if text is not None:
            check_template_reads(text, PLACE, schemas, name, checker)


def _check_tests(root: MappingNode, checker: Checker) -> None:
    patterns, pins = patterns_of(root), pins_of(str(node.value) for _, node in patterns_of(root))
    for event, data in given_events(root):
        type_ = str(event.value)
        if not any(matches(text, type_) for text, _ in patterns):
            near = nearest(type_, [text for text, _ in patterns if "*" not in text])
            checker.error(WRONG_VALUE, event, f"the webhook does not take events of type {shown(type_)}", near)
            continue
        body = body_of(type_, pins, checker)
        schema = body.get("schema") if body else None
        validator = compiled(schema) if isinstance(schema, dict) else None
        if data is None or validator is None or not whole(data):
            continue
        for violation in violations(validator, plain(data)):
            checker.warning(TEST_DATA, at(data, violation.pointer), f"{type_}: {violation.message}")
