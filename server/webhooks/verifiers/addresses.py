"""`ip`: whoever sends from one of the declared networks, by the address of the connection or what a trusted proxy names."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from server.documents.fields import Field, ListOf
from server.webhooks.inbound.arrived import Verified
from server.webhooks.verifiers.fields import Cidr, network_of
from server.webhooks.verifiers.reading import NoHandshake, refused
from server.webhooks.verifiers.scheme import Scheme, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.webhooks.inbound.arrived import Arrived
    from server.webhooks.verifiers.scheme import Fetch


class PlacedRequests(NoHandshake):
    """Verifies where requests come from."""

    __slots__ = ("_networks",)

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = tuple(each for text in networks if (each := network_of(text)) is not None)

    def verify(self, request: Arrived, now: float) -> Verified:  # noqa: ARG002 - the signature of every scheme
        """See `Verify`."""
        try:
            address = ip_address(request.client)
        except ValueError as error:
            raise refused("no address of the client") from error
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        if not any(address in each for each in self._networks):
            raise refused("the client's address is in none of the networks")
        return Verified()


def _make(declared: Mapping[str, Any], _keys: Sequence[str], _fetch: Fetch) -> PlacedRequests:
    return PlacedRequests(declared["networks"])


SCHEME = Scheme(
    name="ip",
    about="the sender's address alone",
    fields=(
        Field(
            "networks",
            ListOf(Cidr(), 1, 200),
            "`ip`: from where requests come. The address is that of the connection, or what a trusted proxy names.",
            required=True,
        ),
    ),
    make=_make,
    covers_body=False,
    vectors=(
        Vector(
            about="an address of GitHub's hooks",
            source="GitHub, the `hooks` of api.github.com/meta",
            declared={"networks": ["192.30.252.0/22", "2a0a:a440::/29"]},
            keys=[],
            request={"method": "POST", "path": "in", "client": "192.30.252.40", "body": b"{}"},
            now=0,
        ),
        Vector(
            about="the same as a server that listens on IPv6 sees it",
            source="RFC 4291, section 2.5.5.2",
            declared={"networks": ["192.30.252.0/22"]},
            keys=[],
            request={"method": "POST", "path": "in", "client": "::ffff:192.30.252.40", "body": b"{}"},
            now=0,
        ),
        Vector(
            about="another address",
            source="RFC 5737",
            declared={"networks": ["192.30.252.0/22"]},
            keys=[],
            request={"method": "POST", "path": "in", "client": "203.0.113.7", "body": b"{}"},
            now=0,
            accepted=False,
        ),
    ),
)
