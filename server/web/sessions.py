"""How pages say who asks: a blueprint of pages names what reads the credential out of its session.

Only its own views are authenticated by it. Every other view takes a bearer token and nothing else, so that no cookie that a browser
sends along by itself ever stands for anybody at the API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from flask import current_app, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Blueprint
    from flask.blueprints import BlueprintSetupState

    Reader: TypeAlias = Callable[[], str | None]
    """Returns the token that the session of the present request stands for, or None."""

_KEY = "crossdock-sessions"


def signed_in_by(blueprint: Blueprint, reader: Reader) -> None:
    """Let the views of a blueprint be authenticated by `reader`, and not by a bearer token."""

    def register(state: BlueprintSetupState) -> None:
        state.app.extensions.setdefault(_KEY, {})[blueprint.name] = reader

    blueprint.record(register)


def reader() -> Reader | None:
    """Return what reads the session of the view at hand; None for all that take a bearer token."""
    readers: dict[str, Reader] = current_app.extensions.get(_KEY, {})
    return readers.get(request.blueprint or "")
