"""What all listings of the pages share: fifty at a time, a cursor to the older ones, and ids in paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from flask import redirect, request, url_for

from server.dashboard.shown import line
from server.kernel import ids
from server.kernel.errors import Invalid, NotFound
from server.web import paging

if TYPE_CHECKING:
    from collections.abc import Sequence

    from werkzeug.wrappers import Response

PAGE = 50
SAID = ("done", "n")
"""What of a page's query says what has just been done, and how often."""
_LONGEST = 2000
_FILTERS = ("webhook", "state", "event", "replay", "failed", "show", "job")


def argument(name: str, most: int = 300) -> str | None:
    """Return a filter of the query; an empty one filters nothing.

    Raises:
        Invalid: it is longer than any value could be, or has signs that cannot be seen.

    """
    value = request.args.get(name, "").strip()
    if len(value) > most or line(value) != value:
        raise Invalid(f"{name} takes at most {most} characters, all of which can be seen", source="dashboard")
    return value or None


def filter_id(prefix: str, name: str) -> UUID | None:
    """Return a filter that is an id.

    Raises:
        Invalid: it is none.

    """
    value = argument(name)
    try:
        return None if value is None else ids.read(prefix, value)
    except ValueError as error:
        raise Invalid(f"{name} takes an id: {prefix}_…", source="dashboard") from error


def before(listing: str) -> UUID | None:
    """Return where the page starts.

    Raises:
        Invalid: CURSOR_INVALID.

    """
    text = argument("cursor", _LONGEST)
    position: list[Any] | None = paging.read(text, listing, UUID) if text else None
    return position[0] if position else None


def turns(rows: Sequence[Any], listing: str, **path: str) -> dict[str, str | None]:
    """Return the links `older` and `newest` of a page, from up to PAGE + 1 rows; None where there is none.

    They keep the filters, and what is in the path.
    """
    kept: dict[str, Any] = {name: value for name, value in request.args.items() if name in _FILTERS and value} | path
    endpoint = request.endpoint or ""
    last = paging.write(listing, [str(rows[PAGE - 1].id)]) if len(rows) > PAGE else None
    return {
        "older": url_for(endpoint, **kept, cursor=last) if last else None,
        "newest": url_for(endpoint, **kept) if request.args.get("cursor") else None,
    }


def identity(prefix: str, text: str) -> UUID:
    """Read an id from a path.

    Raises:
        NotFound: one that cannot exist is one that is not here.

    """
    try:
        return ids.read(prefix, text)
    except ValueError as error:
        raise NotFound("there is no such thing here", source="dashboard") from error


def back(endpoint: str, done: str, count: int | None = None, **values: Any) -> Response:
    """Go to a page after a form was done, and say there what was done."""
    return redirect(url_for(f"dashboard.{endpoint}", **values, done=done, n=count), 303)
