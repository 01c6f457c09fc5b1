"""What a synchronous request is answered: made of the events that it became, or why it became none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from server.events.envelope import from_json, to_json
from server.kernel.errors import Failure, code, declared_codes
from server.mapping import PLACES, EvaluationError, compile_map

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.events.envelope import NewEvent
    from server.mapping import CompiledMap

PLACE = "inbound_webhook_answer"
PROBLEM = "application/problem+json"
_JSON = "application/json"
ANSWER_REFUSED = code(
    "ANSWER_REFUSED", "The events are stored; what `answer.map` made of them cannot be sent, so the plain answer was."
)
_STATUS = 200
_REFUSED = 422
_NO_CONTENT = frozenset((204, 205))


@dataclass(frozen=True, slots=True)
class Made:
    """An answer that was made of what became of a request. `headers` are the definition's own.

    `noted`: why it is not what the definition asks for.
    """

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    noted: Failure | None = None

    @property
    def json(self) -> Any:
        """The body as JSON values."""
        return from_json(self.body)


class Answerer:
    """The `answer` of a definition with `sync`, compiled."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        declared = body.get("answer", {})
        self.status = int(declared.get("status", _STATUS))
        self.content_type: str = declared.get("content_type", _JSON)
        self.headers = {name.lower(): value for name, value in declared.get("headers", {}).items()}
        self.map: CompiledMap | None = compile_map(declared["map"], PLACES[PLACE]) if "map" in declared else None

    def __call__(self, scope: Mapping[str, Any], request: str, events: Sequence[NewEvent]) -> Made:
        """Return the answer of a request that was emitted, skipped or is stale.

        What was emitted is stored, whatever becomes of the answer: a map that fails on it gives way to the plain one.
        """
        shown = [view(each) for each in events]
        plain = {"id": request, "events": shown}
        if self.map is None:
            return self._made(plain)
        try:
            return self._made(self.map.run({**scope, "events": shown}))
        except EvaluationError as error:
            noted = error.within("answer", "map").failure
        except TypeError as error:  # orjson: a number past 64 bits, or half of a surrogate pair
            noted = Failure(ANSWER_REFUSED, f"JSON cannot hold it: {error}", "mapping", {"pointer": ["answer", "map"]})
        return replace(self._made(plain), noted=noted)

    def _made(self, body: Any) -> Made:
        written = b"" if self.status in _NO_CONTENT else to_json(body).encode()
        return Made(self.status, self.content_type, written, self.headers)


def view(event: NewEvent) -> dict[str, Any]:
    """Return an event as an answer shows it."""
    return {"id": event.id, "type": event.type, "subject": event.subject, "data": from_json(event.data)}


def refusal(request: str, failure: Failure) -> Made:
    """Return the answer of a request that became a dead letter: stored, and not to be sent again as it is."""
    problem = {
        "type": f"/docs/errors#{failure.code}",
        "title": declared_codes().get(failure.code, HTTPStatus(_REFUSED).phrase),
        "status": _REFUSED,
        "code": failure.code,
        "detail": failure.message,
        "source": failure.source,
        "instance": f"urn:crossdock:{request}",
        "request_id": request,
        "retryable": False,
        "details": failure.details,
    }
    return Made(_REFUSED, PROBLEM, to_json(problem).encode())
