"""Loops over HTTP: every delivery says how far its chain has come, and what comes back with those words is known again.

`Crossdock-Hops` is a number that everybody may read and pass on; it tells nothing else. `Crossdock-Delivery-Id` leads to the
path, inside the workspace that sent it only. A request that says more than five hops is refused with 508.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from server.events.loops import LOOP_DETECTED, MOST_HOPS, NOWHERE, Trail, trail_of
from server.kernel.errors import Looping
from server.kernel.ids import read, show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from server.events.envelope import Event, NewEvent
    from server.store import Tx

HOPS_HEADER = "crossdock-hops"
CORRELATION_HEADER = "crossdock-correlation-id"
DELIVERY_HEADER = "crossdock-delivery-id"
HEADERS = (HOPS_HEADER, CORRELATION_HEADER, DELIVERY_HEADER)
"""In lower case, as requests are read: what is kept of a request so that its hop is known later."""
_CORRELATION = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_CAUSE = """
SELECT w.name, e.id, e.extensions FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id JOIN events e ON e.uid = d.event_uid
WHERE d.workspace_id = :workspace_id AND d.id = :id
"""


@dataclass(frozen=True, slots=True)
class Hop:
    """What a request says of the delivery that it goes back to; `hops` is 0 where it says nothing."""

    hops: int = 0
    correlation_id: str | None = None
    delivery_id: UUID | None = None


FIRST = Hop()


@dataclass(frozen=True, slots=True)
class Back:
    """Where a hop comes from: the trail so far, and the id of the event that was delivered, if it is one of this workspace."""

    trail: Trail = NOWHERE
    event_id: str | None = None


def headers_of(event: Event, delivery_id: UUID) -> dict[str, str]:
    """Return what a delivery says of its chain."""
    hops = event.extensions.get("crossdockhops", 0) if event.extensions else 0
    return {
        "Crossdock-Hops": str(hops + 1),
        "Crossdock-Correlation-Id": event.correlation_id,
        "Crossdock-Delivery-Id": show("dlv", delivery_id),
    }


def hop_of(headers: Mapping[str, str]) -> Hop:
    """Read what a request says (names in lower case, or a mapping that does not mind); nonsense says nothing.

    A count that several senders wrote (`1, 3`) is the highest of them.
    """
    counted = headers.get(HOPS_HEADER)
    if counted is None:
        return FIRST
    numbers = [int(each) for part in counted.split(",") if _NUMBER.fullmatch(each := part.strip())]
    if not numbers:
        return FIRST
    correlation = headers.get(CORRELATION_HEADER, "")
    return Hop(
        max(numbers), correlation if _CORRELATION.fullmatch(correlation) else None, _id(headers.get(DELIVERY_HEADER))
    )


def refuse(hop: Hop) -> None:
    """Refuse a request that has come back too often.

    Raises:
        Looping: LOOP_DETECTED, 508.

    """
    if hop.hops > MOST_HOPS:
        raise Looping(
            f"this chain has come over HTTP {hop.hops} times; more than {MOST_HOPS} is a loop",
            code=LOOP_DETECTED,
            source="loops",
            rule="hops",
            hops=hop.hops,
        )


def back(tx: Tx, hop: Hop) -> Back:
    """Return where a request comes from; one statement if it names a delivery, none if not."""
    row = tx.one(_CAUSE, id=hop.delivery_id) if hop.delivery_id is not None else None
    if row is None:
        return Back(Trail((), hop.hops))
    before = trail_of(row.extensions)
    return Back(Trail((*before.path, f"webhook/{row.name}"), max(hop.hops, before.hops + 1)), row.id)


def carried_on(tx: Tx, hop: Hop, news: Sequence[NewEvent]) -> Sequence[NewEvent]:
    """Return the events of a request as part of the chain that it goes back to; a first hop changes nothing.

    What an event says itself of correlation and causation stays.
    """
    if not hop.hops:
        return news
    came = back(tx, hop)
    return [
        replace(
            new,
            correlation_id=new.correlation_id or hop.correlation_id,
            causation_id=new.causation_id or came.event_id,
            extensions={**(new.extensions or {}), **came.trail.extensions()},
        )
        for new in news
    ]


def extended(tx: Tx, hop: Hop, definition: str) -> tuple[dict[str, Any], str | None]:
    """Return what an event carries that a definition makes of a request, and the id of the event that caused the request.

    Raises:
        Permanent: LOOP_DETECTED; the request becomes a dead letter whose reason is `loops.REASON`.

    """
    came = back(tx, hop) if hop.hops else Back()
    return came.trail.through(definition).extensions(), came.event_id


def _id(text: str | None) -> UUID | None:
    try:
        return read("dlv", text) if text else None
    except ValueError:
        return None
