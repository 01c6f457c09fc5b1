"""Asks a Tryton server by its REST interface: records by model, domain and fields, and the buttons of its forms.

One request is one transaction over there. What it refuses, it refuses with 400 and a sentence.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from plugins.tryton.values import decoded, encoded
from server.sdk import Permanent, Retryable, code, expect_success, read_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    import requests

    from server.sdk import Context

TRYTON_REFUSED = code("TRYTON_REFUSED", "Tryton refuses, and the message is its own: a rule of its forms is broken.")
SOURCE = "tryton"
MOST = 1000
"""More records than that are not asked for at once."""
_REFUSED = 400
_ABSENT = 404
_LOCKED = 409
_LONGEST = 500

Record = dict[str, Any]


@dataclass
class Tryton:
    """The way to one company of a Tryton server, for one call.

    `memory` holds what a call asked for already and nobody changes meanwhile.
    """

    context: Context
    operation: str
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str | None:
        """What is kept of the call in a reference: the operation and its idempotency key; None where it has none."""
        key = self.context.idempotency_key
        return f"{self.operation} {key}" if key else None

    @property
    def now(self) -> datetime:
        """The moment of the call."""
        return self.context.clock.now()

    @property
    def settings(self) -> Mapping[str, Any]:
        """The integration's config."""
        return self.context.config

    def search(
        self,
        model: str,
        domain: Sequence[Any],
        fields: Iterable[str],
        *,
        order: Sequence[Sequence[str]] = (("id", "ASC"),),
        limit: int = MOST,
        offset: int = 0,
        **context: Any,
    ) -> list[Record]:
        """Return the records of a domain."""
        query = [("d", _packed(domain)), ("o", _packed(order)), ("s", str(limit)), ("p", str(offset))]
        found = self._ask("GET", model, query=query, fields=fields, context=context)
        return list(found)

    def first(self, model: str, domain: Sequence[Any], fields: Iterable[str], **more: Any) -> Record | None:
        """Return the oldest record of a domain."""
        found = self.search(model, domain, fields, limit=1, **more)
        return found[0] if found else None

    def get(self, model: str, number: int, fields: Iterable[str], **context: Any) -> Record | None:
        """Return one record, None when there is none that we may see."""
        return self.first(model, [["id", "=", number]], fields, **context)

    def create(self, model: str, values: Mapping[str, Any], fields: Iterable[str] = ("id",), **context: Any) -> Record:
        """Make a record, with those that lie in it, and return it."""
        return dict(self._ask("POST", model, body=values, fields=fields, context=context))

    def write(self, model: str, number: int, values: Mapping[str, Any], **context: Any) -> None:
        """Change fields of a record."""
        self._ask("PUT", f"{model}/{number}", body=values, fields=("id",), context=context)

    def delete(self, model: str, number: int) -> None:
        """Delete a record."""
        self._ask("DELETE", f"{model}/{number}")

    def press(self, model: str, number: int, button: str, **given: Any) -> Any:
        """Press a button of a record's form; what comes back is the button's."""
        context = given.pop("context", {})
        return self._ask("POST", f"{model}/{number}/{button}", body=given, fields=("id",), context=context)

    def ask(self, model: str, name: str, **given: Any) -> Any:
        """Call what a model offers beside its records, and return what it says."""
        return self._ask("POST", f"{model}/{name}", body=given)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        fields: Iterable[str] = (),
        body: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Any:
        settings = self.settings
        who = {"company": settings["company"], "language": "en"}
        if "employee" in settings:
            who["employee"] = settings["employee"]
        response = self.context.http.request(
            method,
            f"{settings['url'].rstrip('/')}/{quote(settings['database'], safe='')}/rest/model/{path}",
            params=[*query, *(("f", each) for each in fields)],
            headers={
                "Accept": "application/json",
                "Authorization": f"Bearer {settings['key']}",
                "X-Correlation-ID": self.context.correlation_id,
                "X-Tryton-Context": _packed({**who, **(context or {})}),
            },
            json=None if body is None else encoded(body),
        )
        self._expect(response)
        return decoded(read_json(response, source=SOURCE)) if response.content else None

    def _expect(self, response: requests.Response) -> None:
        if response.status_code == _LOCKED:
            raise Retryable("another change of the same record was first", source=SOURCE)
        if response.status_code == _REFUSED and (said := _sentence(response)):
            raise Permanent(said, code=TRYTON_REFUSED, source=SOURCE)
        expect_success(response, self.context.clock.now(), source=SOURCE)


def _sentence(response: requests.Response) -> str:
    try:
        said = response.json()
    except ValueError:
        return ""
    message = str(said.get("message", "")) if isinstance(said, dict) else ""
    return message[:_LONGEST]


def _packed(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(encoded(value), separators=(",", ":")).encode()).decode()


def unpacked(text: str) -> Any:
    """Return what `_packed` wrote; nothing of an empty text."""
    return json.loads(base64.urlsafe_b64decode(text)) if text else None
