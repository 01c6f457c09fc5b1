"""What senders are answered: the plain answer with the request's id, the definition's own, or a problem that tells them little."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import orjson

from server.kernel.errors import CrossdockError, Unauthenticated, declared_codes
from server.kernel.ids import new_uuid, show
from server.web import guard
from server.web.problems import MEDIA_TYPE, status_of
from server.webhooks.inbound.seeing import ID_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from server.webhooks.inbound.answering import Made
    from server.webhooks.inbound.arrived import Reply
    from server.webhooks.inbound.endpoint import Answering
    from server.webhooks.inbound.storing import Stored

JSON = "application/json"
_CONTENT_TYPE = "content-type"
_NO_CONTENT = frozenset((204, 205))
_REFUSED = "the signature is refused"


class Answer(NamedTuple):
    """An answer: status, headers in lower case, body. `outcome` is what it is counted as, `request_id` what it goes by."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    outcome: str
    request_id: str

    def whole(self) -> list[tuple[str, str]]:
        """Return the headers with those that every answer has, but for what it says otherwise itself."""
        own = {name for name, _ in self.headers}
        return [*self.headers, *(each for each in guard.headers_of(self.request_id) if each[0] not in own)]


def of_stored(stored: Stored, answering: Answering) -> Answer:
    """Return the answer to a stored request; to a duplicate what the first one got, byte for byte."""
    outcome = "duplicate" if stored.duplicate else "stored"
    if not stored.duplicate:
        return of_definition(stored.first, answering, outcome)
    status = 202 if stored.status is None else stored.status
    headers = list((stored.headers or {_CONTENT_TYPE: JSON}).items())
    request_id = show(ID_PREFIX, stored.first)
    return Answer(status, headers, _plain(request_id) if stored.body is None else stored.body, outcome, request_id)


def of_definition(identity: UUID, answering: Answering, outcome: str) -> Answer:
    """Return what the definition answers."""
    request_id = show(ID_PREFIX, identity)
    body = _plain(request_id) if answering.body is None else answering.body
    return Answer(answering.status, list(headers_of(answering).items()), body, outcome, request_id)


def of_made(identity: UUID, made: Made) -> Answer:
    """Return what a synchronous request became."""
    headers = [(_CONTENT_TYPE, made.content_type), *made.headers.items()]
    return Answer(made.status, headers, made.body, "stored", show(ID_PREFIX, identity))


def headers_of(answering: Answering) -> Mapping[str, str]:
    """Return the headers of the definition's answer; what has no content has no type."""
    if answering.status in _NO_CONTENT:
        return dict(answering.headers)
    return {_CONTENT_TYPE: answering.content_type, **answering.headers}


def _plain(request_id: str) -> bytes:
    """Return the body of a definition that says nothing."""
    return b'{"id":"%b"}' % request_id.encode()


def new_id() -> str:
    """Return the id of a request of which nothing is stored."""
    return show(ID_PREFIX, new_uuid())


def of_handshake(reply: Reply) -> Answer:
    """Return the answer that a scheme's handshake asks for."""
    headers = [(name.lower(), value) for name, value in reply.headers.items()]
    if reply.body:
        headers.append((_CONTENT_TYPE, reply.content_type))
    return Answer(reply.status, headers, reply.body, "handshake", new_id())


def of_error(error: CrossdockError, request_id: str, challenge: str = "Signature") -> Answer:
    """Return a refusal. Whoever is not known learns one thing for every cause; nobody is told the details of our side."""
    status = status_of(error)
    failure = error.failure
    known = status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND)
    body = {
        "type": f"/docs/errors#{failure.code}",
        "title": declared_codes().get(failure.code, HTTPStatus(status).phrase),
        "status": status,
        "code": failure.code,
        "detail": _REFUSED if isinstance(error, Unauthenticated) else failure.message,
        "source": failure.source,
        "instance": f"urn:crossdock:request:{request_id}",
        "request_id": request_id,
        "retryable": failure.retryable,
    }
    if known and failure.details:
        body["details"] = failure.details
    headers = [(_CONTENT_TYPE, MEDIA_TYPE)]
    if error.after is not None:
        headers.append(("retry-after", str(max(1, math.ceil(error.after)))))
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append(("www-authenticate", f'{challenge} realm="crossdock"'))
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("allow", ", ".join(failure.details.get("allowed", ()))))
    return Answer(status, headers, orjson.dumps(body, default=str), failure.code, request_id)
