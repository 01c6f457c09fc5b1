"""From the server's request to what receiving sees of it, before its body is read: names, headers, and who really sends.

What a proxy adds (`Forwarded`, `X-Forwarded-…`) is believed of those in CROSSDOCK_TRUSTED_PROXIES only, and of a chain as far back
as it is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from server.kernel.errors import Invalid, code
from server.webhooks.inbound.arrived import Arrived

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

PREFIX = "/in/"
MOST_HEADERS = 100
HEADERS_REFUSED = code("HEADERS_REFUSED", "An inbound request has more than 100 headers, or U+0000 in its path.")


@dataclass(slots=True)
class Head:
    """A request without its body. Names of headers are in lower case; `path` is what follows the workspace.

    `count` is how many headers came, one that came again counted again.
    """

    method: str
    names: tuple[str, str]
    path: str
    query: str
    headers: dict[str, str]
    repeated: frozenset[str]
    count: int
    client: str
    peer_trusted: bool
    host: str
    scheme: str


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends, and by which address it reached us."""

    client: str
    trusted: bool
    host: str
    scheme: str


class Proxies:
    """The proxies whose word is taken."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = tuple(ip_network(each) for each in networks)
        self._trusts = lru_cache(4096)(self._looked_up)

    def sender(self, peer: str, headers: Mapping[str, str], scheme: str) -> Sender:
        """Return who sends a request that came from `peer`."""
        host = headers.get("host", "")
        if not self._networks or not self._trusts(peer):
            return Sender(peer, trusted=False, host=host, scheme=scheme)
        standard, usual = _forwarded(headers), _x_forwarded(headers)
        # A proxy writes one of the two and may pass on the other as its client wrote it: who differs is nobody's word.
        clients = {self._farthest(hops, peer) for hops, _ in (standard, usual) if hops} or {peer}
        named = standard[1] if "forwarded" in headers else usual[1]
        return Sender(
            clients.pop() if len(clients) == 1 else "",
            trusted=True,
            host=named.get("host", host),
            scheme=named.get("proto", scheme).lower(),
        )

    def _farthest(self, hops: Sequence[str], peer: str) -> str:
        """Return whom the nearest proxies that are trusted name."""
        return next((each for each in reversed(hops) if not self._trusts(each)), hops[0] if hops else peer)

    def _looked_up(self, text: str) -> bool:
        address = address_of(text)
        return address is not None and within(address, self._networks)


@lru_cache(4096)
def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, with or without a port; one of IPv4 written as IPv6 as what it is."""
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def within(address: IPv4Address | IPv6Address, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Say whether an address lies in one of the networks."""
    return any(address in each for each in networks)


def _forwarded(headers: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return the addresses that proxies have passed on, the nearest last, and what the nearest says of host and scheme."""
    hops: list[str] = []
    named: dict[str, str] = {}
    for element in headers.get("forwarded", "").split(","):
        pairs = dict(_pair(each) for each in element.split(";"))
        named = {key: pairs[key] for key in ("host", "proto") if pairs.get(key)}
        if pairs.get("for"):
            hops.append(_shown(pairs["for"]))
    return hops, named


def _x_forwarded(headers: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return the same from the headers that were there before the standard."""
    said = {key: headers.get(f"x-forwarded-{key}", "").rpartition(",")[2].strip() for key in ("host", "proto")}
    hops = [_shown(each) for each in headers.get("x-forwarded-for", "").split(",") if each.strip()]
    return hops, {key: value for key, value in said.items() if value}


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip().strip('"')


def _shown(text: str) -> str:
    address = address_of(text)
    return str(address) if address is not None else text.strip()[:100]


def head_of(scope: Any, proxies: Proxies) -> Head:
    """Read the head of a request below `/in/`."""
    headers: dict[str, str] = {}
    repeated: set[str] = set()
    count = 0
    for name, value in scope.headers.items():
        count += 1
        if name in headers:
            headers[name] = f"{headers[name]}, {value}"
            repeated.add(name)
        else:
            headers[name] = value
    organization, _, rest = scope.path[len(PREFIX) :].partition("/")
    workspace, _, path = rest.partition("/")
    peer = address_of(scope.client)
    sender = proxies.sender(str(peer) if peer is not None else "", headers, scope.scheme)
    return Head(
        method=scope.method,
        names=(organization, workspace),
        path=path,
        query=scope.query_string,
        headers=headers,
        repeated=frozenset(repeated),
        count=count,
        client=sender.client,
        peer_trusted=sender.trusted,
        host=sender.host,
        scheme=sender.scheme,
    )


def admit(head: Head) -> None:
    """Let a head through that may be looked up and stored.

    Raises:
        Invalid: HEADERS_REFUSED.

    """
    if head.count > MOST_HEADERS:
        message = f"{MOST_HEADERS} headers are taken at most; there are {head.count}"
        raise Invalid(message, code=HEADERS_REFUSED, source="inbound")
    if "\x00" in head.path or any("\x00" in name for name in head.names):
        raise Invalid("a path must not hold U+0000", code=HEADERS_REFUSED, source="inbound")


def arrived_of(head: Head, body: bytes) -> Arrived:
    """Return what verifiers see: the head with its body."""
    return Arrived(
        method=head.method,
        path=head.path,
        query=head.query,
        headers=head.headers,
        repeated=head.repeated,
        body=body,
        client=head.client,
        peer_trusted=head.peer_trusted,
        host=head.host,
        scheme=head.scheme,
        target="/in/" + "/".join((*head.names, head.path)),
    )
