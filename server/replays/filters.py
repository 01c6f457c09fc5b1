"""What is replayed, and how: read from a request, kept as JSON with the job, and turned into what SQL asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from server.events.matching import OURS
from server.kernel import ids
from server.kernel.clock import parse_rfc3339, rfc3339
from server.kernel.errors import Invalid, code
from server.web.problems import place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

REPLAY_REFUSED = code(
    "REPLAY_REFUSED", "The filter of a replay cannot be meant like this; `errors` says what to change."
)
STATUSES = ("delivered", "dead", "skipped", "discarded")
"""What has ended. Pending and held deliveries go out by themselves."""
PAYLOADS = ("original", "current")
MOST_DELIVERIES = 1000
MOST_PER_SECOND = 100_000
_EPOCH, _FAR = 1970, 9999
_PATTERN = re.compile(r"(?:\*\*?|[A-Za-z0-9_-]+)(?:\.(?:\*\*?|[A-Za-z0-9_-]+))*")
_MOST_DEEP = 3
_SEGMENT = {"*": r"[^.]+", "**": r"[^.]+(\.[^.]+)*"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which deliveries or requests, or of which events; what is None says nothing. Times are those at which events were recorded."""

    deliveries: tuple[UUID, ...] = ()
    requests: tuple[UUID, ...] = ()
    webhook: str | None = None
    type: str | None = None
    subject: str | None = None
    status: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what is kept and shown: only what was said."""
        said = {
            "deliveries": [ids.show("dlv", each) for each in self.deliveries],
            "requests": [ids.show("req", each) for each in self.requests],
            "webhook": self.webhook,
            "type": self.type,
            "subject": self.subject,
            "status": list(self.status),
            "since": self.since and rfc3339(self.since),
            "until": self.until and rfc3339(self.until),
        }
        return {name: value for name, value in said.items() if value}

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> Filter:
        """Read what was kept."""
        return cls(
            deliveries=tuple(ids.read("dlv", each) for each in kept.get("deliveries", ())),
            requests=tuple(ids.read("req", each) for each in kept.get("requests", ())),
            webhook=kept.get("webhook"),
            type=kept.get("type"),
            subject=kept.get("subject"),
            status=tuple(kept.get("status", ())),
            since=parse_rfc3339(kept["since"]) if "since" in kept else None,
            until=parse_rfc3339(kept["until"]) if "until" in kept else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How it is replayed. `per_second`: at most so many new deliveries; None: as fast as they can be made."""

    backfill: bool = False
    payload: str = "original"
    as_new: bool = False
    per_second: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what is kept and shown."""
        return {
            "backfill": self.backfill,
            "payload": self.payload,
            "as_new": self.as_new,
            "per_second": self.per_second,
        }


def read(body: Mapping[str, Any]) -> tuple[Filter, Options]:
    """Read a request whose fields have the right types already.

    Raises:
        Invalid: REPLAY_REFUSED, with a pointer per problem.

    """
    reader = _Reader()
    filter_ = reader.filter(body["filter"])
    options = Options(
        backfill=body["backfill"],
        payload=body["payload"] or ("current" if body["backfill"] else "original"),
        as_new=body["as_new"],
        per_second=body["per_second"],
    )
    if options.backfill:
        reader.backfill(filter_, options)
    reader.finish()
    return filter_, options


def refused(pointer: str, message: str) -> Invalid:
    """Return the error of one place."""
    return Invalid(message, code=REPLAY_REFUSED, source="replays", errors=[place(pointer, message, REPLAY_REFUSED)])


def pattern(types: Sequence[str]) -> str:
    """Return the regular expression, as PostgreSQL reads it, of the event types that any of these patterns means."""
    return "^(" + "|".join(_one(each) for each in types) + ")$"


def _one(text: str) -> str:
    segments = text.split(".")
    meant = r"\.".join(_SEGMENT.get(segment, segment) for segment in segments)
    return meant if segments[0] == OURS else rf"(?!{OURS}(\.|$)){meant}"


@dataclass(slots=True)
class _Reader:
    """Collects all that is wrong, so that nobody mends one place at a time."""

    errors: list[dict[str, str]] = field(default_factory=list)

    def wrong(self, pointer: str, message: str) -> None:
        self.errors.append(place(pointer, message, REPLAY_REFUSED))

    def filter(self, given: Mapping[str, Any]) -> Filter:
        deliveries = tuple(
            self.named("deliveries", "dlv", number, text) for number, text in enumerate(given["deliveries"])
        )
        requests = tuple(self.named("requests", "req", number, text) for number, text in enumerate(given["requests"]))
        for name in ("since", "until"):
            if given[name] is not None and not _EPOCH <= given[name].year < _FAR:
                self.wrong(f"/filter/{name}", f"a year from {_EPOCH} on")
                return Filter()
        named = {"deliveries": deliveries, "requests": requests}
        found = Filter(**{**given, "status": tuple(given["status"]), **named})
        if not found.as_json():
            self.wrong("/filter", "name what to replay: a delivery, webhook, type, subject, status, since or until")
        if deliveries and len(found.as_json()) > 1:
            self.wrong("/filter/deliveries", "deliveries are named one by one, or found by the other fields, not both")
        if requests and len(found.as_json()) > 1:
            self.wrong("/filter/requests", "requests are named one by one, or found by the other fields, not both")
        if found.type is not None and (
            not _PATTERN.fullmatch(found.type) or found.type.split(".").count("**") > _MOST_DEEP
        ):
            self.wrong(
                "/filter/type", f"an event type, or a pattern like order.* or ** ({_MOST_DEEP} times ** at most)"
            )
        if found.since and found.until and found.since >= found.until:
            self.wrong("/filter/until", "it ends before it begins: until is not after since")
        return found

    def named(self, what: str, prefix: str, number: int, text: str) -> UUID:
        try:
            return ids.read(prefix, text)
        except ValueError:
            one = {"dlv": "a delivery", "req": "a request"}[prefix]
            self.wrong(f"/filter/{what}/{number}", f"not the id of {one}: {prefix}_…")
            return UUID(int=0)

    def backfill(self, filter_: Filter, options: Options) -> None:
        if filter_.webhook is None:
            self.wrong("/filter/webhook", "a backfill needs the webhook that is to get what it never had")
        for name in ("status", "deliveries", "requests"):
            if getattr(filter_, name):
                self.wrong(f"/filter/{name}", "a backfill is of events that have no delivery yet")
        if options.payload == "original":
            self.wrong("/payload", "what was never sent has no original payload")

    def finish(self) -> None:
        if self.errors:
            raise Invalid(self.errors[0]["message"], code=REPLAY_REFUSED, source="replays", errors=self.errors[:50])
