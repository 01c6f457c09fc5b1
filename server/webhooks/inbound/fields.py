"""Field types of inbound webhooks: a path, a media type."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.documents.fields import WRONG_VALUE, FieldType
from server.documents.findings import shown
from server.documents.scalars import text_of
from server.webhooks.inbound.paths import LONGEST, read_path

if TYPE_CHECKING:
    from server.documents.checking import Checker
    from server.documents.nodes import Node

_MEDIA_TYPE = r"[a-z0-9][a-z0-9.+-]{0,63}/(\*(\+[a-z0-9.-]{1,31})?|[a-z0-9][a-z0-9.+-]{0,127})|\*/\*"


@dataclass(frozen=True)
class PathText(FieldType):
    """The path of an endpoint."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check that it can be read."""
        text = text_of(node, checker, "a path like shop/orders")
        if text is None:
            return
        try:
            read_path(text)
        except ValueError as error:
            checker.error(WRONG_VALUE, node, f"the path {error}")

    def schema(self) -> dict[str, Any]:
        """Return the schema of the text."""
        return {"type": "string", "maxLength": LONGEST, "pattern": "^[^/].*$"}

    def label(self) -> str:
        """Return `path`."""
        return "path with `{param}` segments"


@dataclass(frozen=True)
class MediaType(FieldType):
    """A media type in lower case without parameters: `application/json`, `application/*+json`, `text/*`, `*/*`."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check the form."""
        text = text_of(node, checker, "a media type like application/json")
        if text is not None and not re.fullmatch(_MEDIA_TYPE, text, re.ASCII):
            checker.error(WRONG_VALUE, node, f"a media type like application/json is needed here, found {shown(text)}")

    def schema(self) -> dict[str, Any]:
        """Return the schema of the text."""
        return {"type": "string", "pattern": f"^({_MEDIA_TYPE})$"}

    def label(self) -> str:
        """Return `media type`."""
        return "media type"
