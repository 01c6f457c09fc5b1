"""Versions over HTTP: `ETag: "7"` on what is read, `If-Match: "7"` on what changes it (RFC 9110, section 13)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from flask import request

from server.kernel.errors import PreconditionFailed, PreconditionMissing

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
_MARK = "crossdock_versioned"
_TAG = re.compile(r'\s*(?:W/)?"[^"]*"\s*')


def versioned(view: F) -> F:
    """Mark a view that calls `expect_version`, so that the OpenAPI document shows its If-Match."""
    setattr(view, _MARK, "required")
    return view


def maybe_versioned(view: F) -> F:
    """Mark a view that calls `expect_version(…, required=False)`."""
    setattr(view, _MARK, "optional")
    return view


def takes_version(view: Any) -> Literal["required", "optional"] | None:
    """Say whether a view is so marked, and whether its If-Match is `required` or `optional`."""
    found: Literal["required", "optional"] | None = getattr(view, _MARK, None)
    return found


def etag(version: int) -> str:
    """Write a version as an entity tag."""
    return f'"{version}"'


def expect_version(version: int, *, required: bool = True) -> None:
    """Insist that the caller read the version that is there now. Call it inside the transaction that changes it.

    Raises:
        PreconditionMissing: there is no If-Match and `required`.
        PreconditionFailed: If-Match names other versions; `details["current"]` is the ETag of now.

    """
    given = request.headers.get("If-Match")
    if given is None:
        if required:
            raise PreconditionMissing("send If-Match with the ETag that you read", source="web")
        return
    # A weak tag never matches here: If-Match compares strongly.
    if given.strip() != "*" and etag(version) not in [each.strip() for each in given.split(",")]:
        shown = "another version" if all(_TAG.fullmatch(each) for each in given.split(",")) else "what is no ETag"
        raise PreconditionFailed(f"If-Match names {shown}", source="web", current=etag(version))
