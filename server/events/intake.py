"""Events as they come over HTTP: our JSON, the older envelope, and CloudEvents 1.0 structured, binary and batch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from server.events.envelope import BATCH_LIMIT, NewEvent, to_json
from server.events.matching import OURS
from server.kernel.clock import parse_rfc3339
from server.kernel.errors import Invalid, code
from server.web import bodies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EVENT_INVALID = code(
    "EVENT_INVALID", "An event's attribute is missing, unknown or malformed; `errors` names each place."
)
EVENT_RESERVED = code(
    "EVENT_RESERVED", "Types, sources and extensions that begin with `crossdock` are ours to publish."
)

JSON = "application/json"
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
TEXT = "text/plain"
TYPES = (JSON, STRUCTURED, BATCH, TEXT)

TYPE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
ID = re.compile(r"[\x21-\x7e]{1,256}")
LINE = re.compile(r"[^\x00-\x1f\x7f]{1,512}")
CORRELATION = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_EXTENSION = re.compile(r"[a-z0-9]{1,20}")
_TYPE_LENGTH = 255
_OWN = {"type", "data", "id", "subject", "source", "time", "correlation_id", "causation_id", "schema_version"}
_ENVELOPE = {"id", "type", "timestamp", "data", "metadata"}
_METADATA = {"source", "correlationId", "userId"}
_CLOUD = {
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
    "data",
    "data_base64",
}


@dataclass(frozen=True, slots=True)
class Intake:
    """The events of one request, and whether it was a list: so is its answer then."""

    events: list[NewEvent]
    many: bool


class _Reader:
    """Collects every problem of a request before it refuses it."""

    def __init__(self) -> None:
        self.errors: list[dict[str, str]] = []

    def wrong(self, pointer: str, message: str, code: str = EVENT_INVALID) -> None:
        self.errors.append({"pointer": pointer, "code": code, "message": message})

    def text(self, item: Mapping[str, Any], name: str, pattern: re.Pattern[str], at: str, what: str) -> str | None:
        value = item.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not pattern.fullmatch(value):
            self.wrong(f"{at}/{name}", what)
            return None
        return value

    def unknown(self, item: Mapping[str, Any], known: set[str], at: str) -> None:
        for name in sorted(item.keys() - known):
            self.wrong(f"{at}/{name}", f"unknown; known are {', '.join(sorted(known))}")

    def event(self, item: Mapping[str, Any], at: str, data: str, time: str, **more: Any) -> NewEvent:
        type_ = self.text(item, "type", TYPE, at, "segments of letters, digits, _ and -, joined by dots")
        if type_ is None and item.get("type") is None:
            self.wrong(f"{at}/type", "missing")
        if type_ is not None and (len(type_) > _TYPE_LENGTH or type_.partition(".")[0] == OURS):
            self.wrong(f"{at}/type", "longer than 255" if len(type_) > _TYPE_LENGTH else "reserved", EVENT_RESERVED)
        moment = None
        if item.get(time) is not None:
            try:
                moment = parse_rfc3339(item[time])
            except (ValueError, TypeError):
                self.wrong(f"{at}/{time}", "an RFC 3339 time with an offset, like 2026-01-31T12:00:00Z")
        return NewEvent(
            type=type_ or "",
            data=data,
            id=self.text(item, "id", ID, at, "1 to 256 visible ASCII characters"),
            subject=self.text(item, "subject", LINE, at, "a line of 1 to 512 characters"),
            time=moment,
            **more,
        )

    def source(self, item: Mapping[str, Any], at: str) -> str:
        source = self.text(item, "source", LINE, at, "a line of 1 to 512 characters")
        if source is not None and source.split("/")[0] == OURS:
            self.wrong(f"{at}/source", "reserved", EVENT_RESERVED)
        return source or "api"

    def finish(self) -> None:
        if self.errors:
            first = self.errors[0]
            raise Invalid(f"{first['pointer'] or '/'}: {first['message']}", code=first["code"], errors=self.errors[:50])


def read(content_type: str, headers: Mapping[str, str], body: bytes) -> Intake:
    """Read the events of a request.

    Raises:
        Malformed: not JSON, or JSON of a hostile form.
        Invalid: EVENT_INVALID or EVENT_RESERVED, with a pointer per problem.

    """
    reader = _Reader()
    if any(name.lower() == "ce-specversion" for name in headers):
        intake = Intake([_binary(reader, content_type, headers, body)], many=False)
    elif content_type == TEXT:
        raise Invalid("text/plain is taken with CloudEvents `ce-` headers only", code=EVENT_INVALID)
    else:
        value = bodies.parse_json(body, number=Decimal)
        one: Callable[[_Reader, Any, str], NewEvent] = _own if content_type == JSON else _structured
        if isinstance(value, list):
            intake = Intake(_list(reader, value, one, many=content_type != STRUCTURED), many=True)
        else:
            intake = Intake([one(reader, value, "")], many=False)
    reader.finish()
    return intake


def _list(
    reader: _Reader, value: list[Any], one: Callable[[_Reader, Any, str], NewEvent], *, many: bool
) -> list[NewEvent]:
    if not many:
        reader.wrong("", f"a list of events needs the content type {BATCH}")
        return []
    if not 1 <= len(value) <= BATCH_LIMIT:
        reader.wrong("", f"a batch has 1 to {BATCH_LIMIT} events; this one has {len(value)}")
        return []
    return [one(reader, item, f"/{number}") for number, item in enumerate(value)]


def _own(reader: _Reader, item: Any, at: str) -> NewEvent:
    if not isinstance(item, dict):
        reader.wrong(at, "an event is an object")
        return NewEvent(type="", data="null")
    if "specversion" in item:
        return _structured(reader, item, at)
    if "metadata" in item or "timestamp" in item:
        return _enveloped(reader, item, at)
    reader.unknown(item, _OWN, at)
    if "data" not in item:
        reader.wrong(f"{at}/data", "missing")
    version = item.get("schema_version")
    if version is not None and (not isinstance(version, int) or isinstance(version, bool) or not 0 < version < 10**6):
        reader.wrong(f"{at}/schema_version", "a positive integer")
        version = None
    return reader.event(
        item,
        at,
        to_json(item.get("data")),
        "time",
        source=reader.source(item, at),
        correlation_id=reader.text(item, "correlation_id", CORRELATION, at, "1 to 128 of A-Z a-z 0-9 _ . : -"),
        causation_id=reader.text(item, "causation_id", ID, at, "1 to 256 visible ASCII characters"),
        schema_version=version,
    )


def _enveloped(reader: _Reader, item: Mapping[str, Any], at: str) -> NewEvent:
    reader.unknown(item, _ENVELOPE, at)
    metadata = item.get("metadata") or {}
    if not isinstance(metadata, dict):
        reader.wrong(f"{at}/metadata", "an object")
        metadata = {}
    reader.unknown(metadata, _METADATA, f"{at}/metadata")
    user = reader.text(metadata, "userId", LINE, f"{at}/metadata", "a line of 1 to 512 characters")
    return reader.event(
        item,
        at,
        to_json(item.get("data")),
        "timestamp",
        source=reader.source(metadata, f"{at}/metadata"),
        correlation_id=reader.text(
            metadata, "correlationId", CORRELATION, f"{at}/metadata", "1 to 128 of A-Z a-z 0-9 _ . : -"
        ),
        extensions={"userid": user} if user else None,
    )


def _structured(reader: _Reader, item: Any, at: str) -> NewEvent:
    if not isinstance(item, dict):
        reader.wrong(at, "an event is an object")
        return NewEvent(type="", data="null")
    if "data_base64" in item:
        reader.wrong(f"{at}/data_base64", "only JSON data is taken")
    content = item.get("datacontenttype", JSON)
    if not isinstance(content, str) or not _is_json(content):
        reader.wrong(f"{at}/datacontenttype", "only JSON data is taken")
    for name in ("specversion", "id", "source"):
        if item.get(name) is None:
            reader.wrong(f"{at}/{name}", "missing")
    return _cloud(reader, item, at, to_json(item.get("data")))


def _binary(reader: _Reader, content_type: str, headers: Mapping[str, str], body: bytes) -> NewEvent:
    item = {name.lower()[3:]: value for name, value in headers.items() if name.lower().startswith("ce-")}
    for name in ("id", "source"):
        if name not in item:
            reader.wrong(f"/ce-{name}", "missing")
    if content_type == TEXT:
        data = to_json(body.decode("utf-8", "replace"))
    else:
        data = to_json(bodies.parse_json(body, number=Decimal)) if body else "null"
    return _cloud(reader, item, "", data)


def _cloud(reader: _Reader, item: Mapping[str, Any], at: str, data: str) -> NewEvent:
    if item.get("specversion") not in (None, "1.0"):
        reader.wrong(f"{at}/specversion", "1.0")
    extensions: dict[str, Any] = {}
    for name in sorted(item.keys() - _CLOUD):
        value = item[name]
        if name.startswith(OURS):
            reader.wrong(f"{at}/{name}", "reserved", EVENT_RESERVED)
        elif not _EXTENSION.fullmatch(name) or not isinstance(value, (str, int, bool)) or len(str(value)) > 1024:  # noqa: PLR2004 - a bound
            reader.wrong(
                f"{at}/{name}", "an extension has a lower-case alphanumeric name and a short text, integer or boolean"
            )
        else:
            extensions[name] = value
    named = {
        "correlation_id": extensions.pop("correlationid", None),
        "causation_id": extensions.pop("causationid", None),
    }
    if item.get("dataschema") is not None:
        extensions["dataschema"] = str(item["dataschema"])[:1024]
    return reader.event(
        item,
        at,
        data,
        "time",
        source=reader.source(item, at),
        correlation_id=reader.text(named, "correlation_id", CORRELATION, at, "1 to 128 of A-Z a-z 0-9 _ . : -"),
        causation_id=reader.text(named, "causation_id", ID, at, "1 to 256 visible ASCII characters"),
        extensions=extensions or None,
    )


def _is_json(content_type: str) -> bool:
    media = content_type.partition(";")[0].strip().lower()
    return media == JSON or media.endswith("+json")
