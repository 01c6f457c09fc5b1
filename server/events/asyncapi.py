"""The AsyncAPI 3 document of a workspace: what can be published, who is sent what, who may post where. Pure.

Seen from Crossdock: it `receive`s events over REST and requests at inbound endpoints, and `send`s to outbound webhooks. Of an
outbound address only the host is told: paths and queries of receivers often are secrets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from server.events.matching import matches, pins_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

VERSION = "3.0.0"
MOST_CHANNELS = 1000
MOST_MESSAGES = 200
_FORMAT = "application/schema+json;version=draft-2020-12"
_HERE = "crossdock"
_BINDING = "0.3.0"
_PARAMETER = re.compile(r"\{([^{}]+)\}")
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """What a document is made of: live bodies, and the workspace's name and version of its routes."""

    organization: str
    workspace: str
    version: int
    event_types: Sequence[Mapping[str, Any]] = ()
    webhooks: Sequence[Mapping[str, Any]] = ()
    integrations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def document(known: Known, host: str, protocol: str) -> Body:
    """Return the document, as seen at the address (`host[:port]`) by which it was asked for."""
    made = _Document(known)
    made.servers[_HERE] = {
        "host": host,
        "protocol": protocol,
        "description": "This workspace: events are published and streamed here, and senders post to its inbound endpoints.",
    }
    made.event_types()
    outbound = [each for each in known.webhooks if each.get("direction") == "outbound"]
    inbound = [each for each in known.webhooks if each.get("direction") == "inbound"]
    for webhook in inbound[:MOST_CHANNELS]:
        made.inbound(webhook)
    for webhook in outbound[:MOST_CHANNELS]:
        made.outbound(webhook)
    left_out = max(0, len(inbound) - MOST_CHANNELS) + max(0, len(outbound) - MOST_CHANNELS)
    return {
        "asyncapi": VERSION,
        "id": f"urn:crossdock:{known.organization}:{known.workspace}",
        "info": {
            "title": f"Crossdock: {known.organization}/{known.workspace}",
            "version": str(known.version),
            "description": "The events of this workspace, who may post them and who is sent them."
            + (f" {left_out} webhooks are left out." if left_out else ""),
        },
        "defaultContentType": "application/json",
        "servers": made.servers,
        "channels": made.channels,
        "operations": made.operations,
        "components": {
            "schemas": made.schemas,
            "messages": made.messages,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def inside(schema: Any, place: str) -> Any:
    """Return a schema whose references `#/…` lead to where it stands in the document."""
    if isinstance(schema, list):
        return [inside(each, place) for each in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {key: inside(each, place) for key, each in schema.items()}
    reference = schema.get("$ref")
    if isinstance(reference, str) and (reference == "#" or reference.startswith("#/")):
        moved["$ref"] = place + reference[1:]
    return moved


class _Document:
    def __init__(self, known: Known) -> None:
        self.known = known
        self.servers: Body = {}
        self.channels: Body = {}
        self.operations: Body = {}
        self.schemas: Body = {}
        self.messages: Body = {}

    def event_types(self) -> None:
        """Add a channel per event type, to which it may be published, with a message per version."""
        for body in sorted(self.known.event_types, key=lambda each: (str(each["name"]), _version(each))):
            name, key = str(body["name"]), _key(body)
            self.schemas[key] = {
                "schemaFormat": _FORMAT,
                "schema": inside(body.get("schema", True), f"#/components/schemas/{key}/schema"),
            }
            self.messages[key] = _message(body, _published(body), {"type": name, "schema_version": _version(body)})
            self.messages[f"{key}.sent"] = _message(
                body, _sent(body), {"type": name, "timestamp": "2026-01-01T00:00:00Z"}
            )
            channel = self.channels.setdefault(
                f"event.{name}",
                {
                    "address": "/api/v1/events",
                    "title": name,
                    "servers": [{"$ref": f"#/servers/{_HERE}"}],
                    "messages": {},
                },
            )
            channel["messages"][f"v{_version(body)}"] = {"$ref": f"#/components/messages/{key}"}
            self.operations[f"publish.{name}"] = {
                "action": "receive",
                "channel": {"$ref": f"#/channels/event.{name}"},
                "summary": f"Publish {name}.",
                "security": [{"$ref": "#/components/securitySchemes/bearer"}],
                "bindings": {"http": {"method": "POST", "bindingVersion": _BINDING}},
            }

    def outbound(self, webhook: Mapping[str, Any]) -> None:
        """Add the channel of an outbound webhook, with the messages of the event types that it takes."""
        name = str(webhook["name"])
        messages: dict[str, Any] = {
            _key(body): {"$ref": f"#/components/messages/{_key(body)}.sent"} for body in self._taken(webhook)
        }
        if "map" in webhook or not messages:
            messages = {
                "mapped": {"name": name, "summary": "What the webhook's map makes of its events.", "payload": {}}
            }
        channel = {
            "address": None,
            "title": f"webhook/{name}",
            "servers": [{"$ref": f"#/servers/{self._receiver(webhook)}"}],
            "messages": messages,
            "x-crossdock-events": list(webhook.get("events", [])),
        }
        self._add(f"webhook.{name}", webhook, channel, "send", str(webhook.get("request", {}).get("method", "POST")))

    def inbound(self, webhook: Mapping[str, Any]) -> None:
        """Add the channel of an inbound endpoint, with an operation per method."""
        name, path = str(webhook["name"]), str(webhook.get("path", ""))
        emits = webhook.get("emit", {})
        types = [
            str(each.get("type")) for each in (emits if isinstance(emits, list) else [emits]) if isinstance(each, dict)
        ]
        types_taken = webhook.get("content_types") or ["application/json"]
        channel = {
            "address": f"/in/{self.known.organization}/{self.known.workspace}/{path}",
            "title": f"webhook/{name}",
            "servers": [{"$ref": f"#/servers/{_HERE}"}],
            "messages": {"request": {"name": name, "contentType": str(types_taken[0]), "payload": {}}},
            "x-crossdock-emits": types,
        }
        parameters = {each: {"description": "A piece of the path."} for each in _PARAMETER.findall(path)}
        if parameters:
            channel["parameters"] = parameters
        methods = [str(each) for each in webhook.get("methods", ["POST"])]
        for method in methods:
            suffix = "" if len(methods) == 1 else f".{method.lower()}"
            self._add(f"webhook.{name}", webhook, channel, "receive", method, suffix)

    def _add(
        self, key: str, webhook: Mapping[str, Any], channel: Body, action: str, method: str, suffix: str = ""
    ) -> None:
        if "description" in webhook:
            channel["description"] = str(webhook["description"])
        self.channels[key] = channel
        self.operations[f"{key}{suffix}"] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{key}"},
            "bindings": {"http": {"method": method, "bindingVersion": _BINDING}},
        }

    def _taken(self, webhook: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the bodies of the event types that a webhook is sent: of each the version that it asks for, else the newest."""
        patterns = [str(each) for each in webhook.get("events", [])]
        pins = pins_of(patterns)
        chosen: dict[str, Mapping[str, Any]] = {}
        for body in self.known.event_types:
            name = str(body["name"])
            if not any(matches(each, name) for each in patterns) or _version(body) > pins.get(name, _version(body)):
                continue
            if name not in chosen or _version(chosen[name]) < _version(body):
                chosen[name] = body
        return [chosen[name] for name in sorted(chosen)][:MOST_MESSAGES]

    def _receiver(self, webhook: Mapping[str, Any]) -> str:
        """Add the server that a webhook sends to; return its key."""
        integration = webhook.get("integration")
        config = self.known.integrations.get(str(integration), {}).get("config", {}) if integration else {}
        url = config.get("base_url") if integration else webhook.get("url")
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        key = f"integration.{integration}" if integration else f"receiver.{webhook['name']}"
        address = parts.netloc.rpartition("@")[2]
        self.servers[key] = {"host": address or key, "protocol": parts.scheme or "https"}
        return key


def _version(body: Mapping[str, Any]) -> int:
    return int(body.get("version", 1))


def _key(body: Mapping[str, Any]) -> str:
    return f"{body['name']}.v{_version(body)}"


def _data(body: Mapping[str, Any]) -> Body:
    return {"$ref": f"#/components/schemas/{_key(body)}/schema"}


def _published(body: Mapping[str, Any]) -> Body:
    return {
        "type": "object",
        "required": ["type", "data"],
        "additionalProperties": False,
        "properties": {
            "type": {"const": body["name"]},
            "schema_version": {"const": _version(body)},
            "data": _data(body),
            "id": {"type": "string", "maxLength": 256},
            "source": {"type": "string", "maxLength": 512},
            "subject": {"type": "string", "maxLength": 512},
            "time": {"type": "string", "format": "date-time"},
            "correlation_id": {"type": "string", "maxLength": 128},
            "causation_id": {"type": "string", "maxLength": 256},
        },
    }


def _sent(body: Mapping[str, Any]) -> Body:
    return {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": body["name"]},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": _data(body),
        },
    }


def _message(body: Mapping[str, Any], payload: Body, envelope: Body) -> Body:
    message: Body = {
        "name": str(body["name"]),
        "title": f"{body['name']}@{_version(body)}",
        "contentType": "application/json",
        "payload": {"schemaFormat": _FORMAT, "schema": payload},
    }
    if "description" in body:
        message["summary"] = str(body["description"])
    if "example" in body:
        message["examples"] = [{"name": "example", "payload": {**envelope, "data": body["example"]}}]
    return message


def bodies_of(rows: Iterable[Any], kind: str) -> list[Mapping[str, Any]]:
    """Return the bodies of one kind among rows with `kind` and `body`."""
    return [row.body for row in rows if row.kind == kind]
