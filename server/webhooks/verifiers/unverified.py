"""`none`: whoever knows the URL. It has to be spelled out, and the check warns of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.kernel.errors import code
from server.webhooks.inbound.arrived import Verified
from server.webhooks.verifiers.reading import NoHandshake
from server.webhooks.verifiers.scheme import Scheme, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.documents.checking import Checker
    from server.documents.nodes import MappingNode
    from server.webhooks.inbound.arrived import Arrived
    from server.webhooks.verifiers.scheme import Fetch

NOT_VERIFIED = code("NOT_VERIFIED", "`verify: {scheme: none}`: whoever knows the URL may send.")


class UnverifiedRequests(NoHandshake):
    """Takes every request."""

    __slots__ = ()

    def verify(self, request: Arrived, now: float) -> Verified:  # noqa: ARG002 - the signature of every scheme
        """Return that nothing is known of the sender."""
        return Verified()


def _make(_declared: Mapping[str, Any], _keys: Sequence[str], _fetch: Fetch) -> UnverifiedRequests:
    return UnverifiedRequests()


def _warn(node: MappingNode, checker: Checker) -> None:
    checker.warning(NOT_VERIFIED, node.get("scheme") or node, "nothing is verified: whoever knows the URL may send")


SCHEME = Scheme(
    name="none",
    about="nothing is verified",
    fields=(),
    make=_make,
    covers_body=False,
    rules=(_warn,),
    vectors=(
        Vector(
            about="anything",
            source="ours",
            keys=[],
            request={"method": "POST", "path": "in", "body": b"{}"},
            now=0,
        ),
    ),
)
