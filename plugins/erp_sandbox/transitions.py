"""What may follow upon what, as a table; everything else is refused by a stable code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from plugins.erp_sandbox.records import refused

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Transitions:
    """`moves` says by verb from which status to which; `code` is what all else is refused with."""

    noun: str
    code: str
    moves: Mapping[str, Mapping[str, str]]

    def after(self, status: str, verb: str) -> str:
        """Return the status that follows.

        Raises:
            Permanent: with `code`; `details.status` is the one that does not allow it.

        """
        after = self.moves[verb].get(status)
        if after is None:
            raise refused(self.code, f"a {self.noun} that is {status} does not allow: {verb}", status=status)
        return after
