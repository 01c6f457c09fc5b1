"""What publishing over HTTP is, whichever way a request comes: by the application, or by the door on the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.events.envelope import Published
    from server.events.intake import Intake

METHOD, PATH = "POST", "/api/v1/events"
PERMISSION = "events:publish"
STATUS = 202


def shown_of(taken: Intake, published: Sequence[Published]) -> dict[str, Any]:
    """Return the JSON that a request is answered: of one event its id, of a list all of them."""
    items = [{"id": each.id, "duplicate": each.duplicate} for each in published]
    return {"items": items} if taken.many else items[0]
