"""`basic`: a name and a password in `Authorization` (RFC 7617)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.documents.fields import Field
from server.documents.scalars import Text
from server.documents.values import secretable
from server.webhooks.inbound.arrived import Verified
from server.webhooks.verifiers.fields import key_field
from server.webhooks.verifiers.reading import NoHandshake, Shared, from_base64, header, refused
from server.webhooks.verifiers.scheme import Scheme, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.webhooks.inbound.arrived import Arrived
    from server.webhooks.verifiers.scheme import Fetch


class BasicRequests(NoHandshake):
    """Verifies requests that show a name and a password; both count as one secret.

    Raises:
        Invalid: KEY_INVALID.

    """

    __slots__ = ("_shared",)

    def __init__(self, username: str, passwords: Sequence[str]) -> None:
        Shared([each.encode() for each in passwords])
        self._shared = Shared([f"{username}:{each}".encode() for each in passwords])

    def verify(self, request: Arrived, now: float) -> Verified:  # noqa: ARG002 - the signature of every scheme
        """See `Verify`."""
        kind, _, written = header(request, "authorization").partition(" ")
        given = from_base64(written.strip(" "))
        if not self._shared.fits(given or b"") or kind.lower() != "basic":
            raise refused("name or password")
        return Verified()


def _make(declared: Mapping[str, Any], keys: Sequence[str], _fetch: Fetch) -> BasicRequests:
    return BasicRequests(declared["username"], keys)


_SOURCE = "RFC 7617"


def _request(authorization: str) -> dict[str, Any]:
    return {"method": "POST", "path": "in", "headers": {"authorization": authorization}, "body": b"{}"}


SCHEME = Scheme(
    name="basic",
    about="a name and a password",
    fields=(
        Field(
            "username",
            secretable(Text(200, "[^:]*", "a name without a colon")),
            "`basic`: the name.",
            required=True,
        ),
        key_field("`basic`: the password, or several while it is changed."),
    ),
    make=_make,
    covers_body=False,
    vectors=(
        Vector(
            about="section 2",
            source=_SOURCE,
            declared={"username": "Aladdin"},
            keys=["open sesame"],
            request=_request("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            now=0,
        ),
        Vector(
            about="section 2.1, UTF-8",
            source=_SOURCE,
            declared={"username": "test"},
            keys=["123£"],
            request=_request("Basic dGVzdDoxMjPCow=="),
            now=0,
        ),
    ),
)
