"""`api_key`: a secret as it is, in a header or in a parameter of the URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.documents.fields import Field
from server.documents.scalars import Text
from server.webhooks.inbound.arrived import Verified
from server.webhooks.verifiers.fields import KEY, SenderHeader
from server.webhooks.verifiers.reading import NoHandshake, Shared, header, message_id, parameter, raw, refused
from server.webhooks.verifiers.scheme import Scheme, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.webhooks.inbound.arrived import Arrived
    from server.webhooks.verifiers.scheme import Fetch


class KeyedRequests(NoHandshake):
    """Verifies requests that show a secret in `header` (lower case), behind `prefix`, or in the parameter `query`.

    `id_header` names the message, for logs.

    Raises:
        Invalid: KEY_INVALID.

    """

    __slots__ = ("_header", "_id_header", "_prefix", "_query", "_shared")

    def __init__(
        self, keys: Sequence[str], header: str = "", prefix: str = "", query: str = "", id_header: str = ""
    ) -> None:
        self._shared = Shared([each.encode() for each in keys])
        self._header = header.lower()
        self._prefix = prefix.encode()
        self._query = query
        self._id_header = id_header

    def verify(self, request: Arrived, now: float) -> Verified:  # noqa: ARG002 - the signature of every scheme
        """See `Verify`."""
        given = raw(header(request, self._header)) if self._header else parameter(request.query, self._query)
        if not self._shared.fits(given.removeprefix(self._prefix)) or not given.startswith(self._prefix):
            raise refused("key")
        return Verified(message_id(request, self._id_header))


def _make(declared: Mapping[str, Any], keys: Sequence[str], _fetch: Fetch) -> KeyedRequests:
    return KeyedRequests(keys, declared.get("header", ""), declared.get("prefix", ""), declared.get("query", ""))


SCHEME = Scheme(
    name="api_key",
    about="a secret as it is, in a header or a parameter",
    fields=(
        KEY,
        Field("header", SenderHeader(), "`api_key`: the header that holds the key."),
        Field(
            "query",
            Text(64, "[A-Za-z0-9_.-]+", "a parameter's name"),
            "`api_key`: the parameter of the URL that holds it; URLs stand in the logs of everything on the way.",
        ),
        Field("prefix", Text(50), "`api_key`: what stands before the key, like `Token `."),
    ),
    make=_make,
    covers_body=False,
    one_of=(("header", "query"),),
    vectors=(
        Vector(
            about="in a header",
            source="Airtable and many others: Authorization: Bearer KEY",
            declared={"header": "Authorization", "prefix": "Bearer "},
            keys=["key-0123456789"],
            request={
                "method": "POST",
                "path": "in",
                "headers": {"authorization": "Bearer key-0123456789"},
                "body": b"{}",
            },
            now=0,
        ),
        Vector(
            about="in a parameter",
            source="Azure Functions and many others: ?code=KEY",
            declared={"query": "code"},
            keys=["key-0123/456+789="],
            request={"method": "POST", "path": "in", "query": "a=1&code=key-0123%2F456%2B789%3D", "body": b"{}"},
            now=0,
        ),
    ),
)
