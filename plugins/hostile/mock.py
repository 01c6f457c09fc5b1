"""There is no other system; its mock is an empty room."""

from __future__ import annotations

from typing import Any, Self

from server.sdk import Mock, Scenario


class NobodyMock(Mock):
    """Plays nobody."""

    secrets = ("hostile-password-81c2",)

    @property
    def config(self) -> dict[str, Any]:
        """A config with a secret to leak."""
        return {"password": self.secrets[0]}

    def play(self, scenario: Scenario) -> None:
        """Nobody changes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        """Nobody leaves."""
