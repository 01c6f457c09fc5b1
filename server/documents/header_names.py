"""The name of a header that a definition chooses: for a signature, or for a credential."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.documents.fields import WRONG_VALUE, FieldType
from server.documents.findings import shown
from server.documents.scalars import text_of
from server.kernel.errors import Permanent
from server.sdk.headers import FRAMING, IDENTITY
from server.sdk.signing_schemes import ID_HEADER, TIMESTAMP_HEADER
from server.transport.headers import vet_header

if TYPE_CHECKING:
    from server.documents.checking import Checker
    from server.documents.nodes import Node

OURS = frozenset({ID_HEADER, TIMESTAMP_HEADER, "content-type", "user-agent"})
"""What every delivery has."""


@dataclass(frozen=True)
class HeaderName(FieldType):
    """A header that neither the transport nor the delivery writes; `identity`: one that says who we are may stand here."""

    identity: bool = False

    def check(self, node: Node, checker: Checker) -> None:
        """Check that it can be sent, and that neither the transport nor the delivery writes it."""
        text = text_of(node, checker, "the name of a header")
        if text is None:
            return
        try:
            vet_header(text, "")
        except Permanent as refusal:
            checker.error(WRONG_VALUE, node, refusal.message)
            return
        taken = FRAMING | OURS | (frozenset() if self.identity else IDENTITY)
        if text.lower() in taken:
            checker.error(WRONG_VALUE, node, f"the header {shown(text)} is written by the delivery itself")

    def schema(self) -> dict[str, Any]:
        """Return the schema of the name."""
        return {"type": "string", "minLength": 1, "maxLength": 100}

    def label(self) -> str:
        """Return `name of a header`."""
        return "name of a header"
