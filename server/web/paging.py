"""Listings, all alike: `?limit=50&cursor=…` answers `{items: […], next: cursor | null}`.

A cursor is opaque and checked, not secret: it is the position of the last item, bound to the listing it came from. It only ever
selects rows of the caller's own workspace, so forging one gains nothing; a broken one is 422.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import orjson
from marshmallow import Schema, fields, validate

from server.kernel.errors import Invalid, code
from server.web.problems import place
from server.web.room import In, Out

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")
Position = list[str | int | UUID]

CURSOR_INVALID = code("CURSOR_INVALID", "The cursor is not one that this listing gave; start without it.")
DEFAULT_LIMIT = 50
MOST = 200
_CHECK = 6
_LONGEST = 2000
_HIGHEST = 2**31 - 1  # PostgreSQL's int: versions and numbers of tries


class PageQuery(In):
    """The query of every listing; subclass it for filters."""

    limit = fields.Integer(
        load_default=DEFAULT_LIMIT,
        validate=validate.Range(1, MOST),
        metadata={"description": "How many items at most."},
    )
    cursor = fields.String(
        validate=validate.Length(max=_LONGEST),
        metadata={"description": "`next` of the page before."},
    )


def page_of(item: type[Schema]) -> type[Schema]:
    """Make the schema of a page of items."""
    return Out.from_dict(
        {
            "items": fields.List(fields.Nested(item), required=True),
            "next": fields.String(
                required=True, allow_none=True, metadata={"description": "Cursor of the next page; null on the last."}
            ),
        },
        name=f"{item.__name__.removesuffix('Schema')}Page",
    )


def page(
    rows: Sequence[T],
    limit: int,
    listing: str,
    position: Callable[[T], Position],
    show: Callable[[T], Any] | None = None,
) -> dict[str, Any]:
    """Make the answer from up to `limit + 1` rows: ask the database for one more than the page holds."""
    items = rows[:limit]
    more = len(rows) > limit
    return {
        "items": [show(each) if show else each for each in items],
        "next": write(listing, position(items[-1])) if more else None,
    }


def after(query: Mapping[str, Any], listing: str, *kinds: type[str | int | UUID]) -> list[Any] | None:
    """Return where the page starts, as values of `kinds`, or None for the first page.

    Raises:
        Invalid: CURSOR_INVALID.

    """
    text = query.get("cursor")
    return None if text is None else read(text, listing, *kinds)


def write(listing: str, position: Position) -> str:
    """Write a position as a cursor of a listing."""
    content = orjson.dumps(position)
    return urlsafe_b64encode(_check(listing, content) + content).rstrip(b"=").decode()


def read(text: str, listing: str, *kinds: type[str | int | UUID]) -> Position:
    """Read a cursor of a listing.

    Raises:
        Invalid: CURSOR_INVALID.

    """
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        content = raw[_CHECK:]
        given = orjson.loads(content) if raw[:_CHECK] == _check(listing, content) else None
        if not isinstance(given, list) or len(given) != len(kinds):
            raise _invalid()
        values: Position = [UUID(each) if kind is UUID else each for kind, each in zip(kinds, given, strict=True)]
    except (ValueError, AttributeError, TypeError) as error:
        raise _invalid() from error
    if [type(each) for each in values] != list(kinds) or not all(map(_storable, values)):
        raise _invalid()
    return values


def _storable(value: str | int | UUID) -> bool:
    """Say whether a column could hold it: whoever knows how cursors are made can make any."""
    if isinstance(value, int):
        return 0 <= value <= _HIGHEST
    return not isinstance(value, str) or "\x00" not in value


def _invalid() -> Invalid:
    problem = place("/cursor", "not a cursor of this listing", CURSOR_INVALID, "query")
    return Invalid("the cursor is not one of this listing", code=CURSOR_INVALID, source="web", errors=[problem])


def _check(listing: str, content: bytes) -> bytes:
    return hashlib.blake2s(
        content, digest_size=_CHECK, person=hashlib.blake2s(listing.encode(), digest_size=8).digest()
    ).digest()
