"""Whose work is meant: definitions own dead letters, and a person names them `KIND/NAME`, a webhook by its name alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.documents.findings import nearest, shown
from server.kernel.errors import Invalid, NotFound
from server.queue import dead_letters
from server.store.repository import insist
from server.web.problems import place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.store import Tx
    from server.store.repository import Repository

_WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class Owners:
    """The definitions that may own dead letters, by the kind under which these name them."""

    kinds: Mapping[str, Repository[Any]]

    def named(self, tx: Tx, text: str, location: str = "body") -> str:
        """Return the owner that is meant, as dead letters name it; a removed definition is known, and so is whoever has one.

        Raises:
            Invalid: it is no KIND/NAME, or there is no such kind.
            NotFound: there is no such definition.

        """
        try:
            return self._definition(tx, text, location)
        except (Invalid, NotFound):
            if dead_letters.owned(tx, text):
                return text
            raise

    def _definition(self, tx: Tx, text: str, location: str) -> str:
        kind, slash, name = text.partition("/")
        if not slash:
            kind, name = _WEBHOOK, text
        if not name or "/" in name:
            raise _refused(f"{shown(text)} is not KIND/NAME, such as webhook/orders", location)
        if kind not in self.kinds:
            near = nearest(kind, self.kinds)
            meant = f"did you mean {near}/{name}?" if near else f"there are {', '.join(self.kinds)}"
            raise _refused(f"no kind of definition is called {shown(kind)}: {meant}", location)
        insist(tx, self.kinds[kind], name)
        return f"{kind}/{name}"


def _refused(message: str, location: str) -> Invalid:
    return Invalid(message, source="web", errors=[place("/owner", message, location=location)])
