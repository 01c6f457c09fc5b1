"""What an application is built from: all that `create_app` itself needs. Bootstrap hands over something of this shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Blueprint

    from server.config import Settings
    from server.store import Store
    from server.web.direct import Direct, Door
    from server.web.principals import Authenticate, Failures


@dataclass(frozen=True, slots=True)
class Served:
    """One request that was answered; `route` is the rule (`/api/v1/events/<event_id>`), never the path itself."""

    method: str
    route: str
    status: int
    seconds: float
    workspace: str


class Frame(Protocol):
    """The services that the application's frame uses; capabilities get theirs when their blueprint is made."""

    @property
    def settings(self) -> Settings:
        """The settings of this process."""
        ...

    @property
    def store(self) -> Store:
        """The store under the API's role."""
        ...

    @property
    def authenticate(self) -> Authenticate:
        """Who presents this credential?"""
        ...

    @property
    def failures(self) -> Failures:
        """The count of failed authentications."""
        ...

    @property
    def blueprints(self) -> Sequence[Blueprint]:
        """The rooms: `Room` ones appear in the OpenAPI document, plain Flask ones (pages) do not."""
        ...

    @property
    def directs(self) -> Sequence[Direct]:
        """What is served on the event loop, beside the application: see `web.direct`."""
        ...

    @property
    def doors(self) -> Sequence[Door]:
        """Quicker ways to views of the application: see `web.direct`."""
        ...

    @property
    def observers(self) -> Sequence[Callable[[Served], None]]:
        """Called after each request: metrics."""
        ...
