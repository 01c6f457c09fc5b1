"""Which addresses may be reached. The address that is vetted here is the address that is dialled.

The table is our own, since `ipaddress.is_global` of Python 3.11 misses ranges (cpython#113171). Source: the IANA
special-purpose registries for IPv4 and IPv6, November 2026, and the metadata services of the larger clouds.
"""

from __future__ import annotations

import functools
import socket
from bisect import bisect_right
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

import psutil

from server.transport.failures import address_refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from server.kernel.errors import Permanent
    from server.transport.proxy import Proxy

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NOT_PUBLIC_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
PUBLIC_V6 = IPv6Network("2000::/3")
NOT_PUBLIC_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)
# Never reached, whatever is allowed: they hand out the credentials of the machine.
METADATA = frozenset(
    ip_address(text)
    for text in (
        "100.100.100.200",
        "168.63.129.16",
        "169.254.0.23",
        "169.254.169.123",
        "169.254.169.253",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "169.254.42.42",
        "192.0.0.192",
        "fd00:42::42",
        "fd00:ec2::23",
        "fd00:ec2::253",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fe80::a9fe:a9fe",
    )
)
ORDINARY_PORTS = ((80, 80), (443, 443), (8000, 9000))

_MAPPED = IPv6Network("::ffff:0:0/96")
_TRANSLATED = IPv6Network("::ffff:0:0:0/96")
_COMPATIBLE = IPv6Network("::/96")
_OWN_V6 = (IPv6Address("::"), IPv6Address("::1"))
_NAT64 = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_ISATAP = (0x00005EFE, 0x02005EFE)
_LOW_32 = 0xFFFFFFFF
_CACHE = 4096


def embedded_v4(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that an IPv6 address carries: mapped, compatible, NAT64, 6to4, Teredo, ISATAP."""
    value = int(address)
    low = IPv4Address(value & _LOW_32)
    if address in _OWN_V6:
        return ()
    if any(address in network for network in (_MAPPED, _TRANSLATED, _COMPATIBLE, _NAT64, _NAT64_LOCAL)):
        return (low,)
    if address in _SIX_TO_FOUR:
        return (IPv4Address(value >> 80 & _LOW_32),)
    if address in _TEREDO:
        return (IPv4Address(value >> 64 & _LOW_32), IPv4Address(value & _LOW_32 ^ _LOW_32))
    if value >> 32 & _LOW_32 in _ISATAP:
        return (low,)
    return ()


@functools.cache
def own_addresses() -> frozenset[Address]:
    """Return the addresses of this machine's interfaces: a caller must not reach us from behind."""
    found: set[Address] = set()
    for interface in psutil.net_if_addrs().values():
        for each in interface:
            if each.family in {socket.AF_INET, socket.AF_INET6}:
                found.add(ip_address(each.address.partition("%")[0]))
    return frozenset(found)


class _Ranges:
    """Networks as sorted, merged ranges of whole numbers: one bisection says whether an address lies within."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, networks: Iterable[Network]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted((int(n.network_address), int(n.broadcast_address)) for n in networks):
            if self._ends and start <= self._ends[-1] + 1:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)

    def __contains__(self, value: int) -> bool:
        place = bisect_right(self._starts, value) - 1
        return place >= 0 and value <= self._ends[place]


def _networks(texts: Sequence[str]) -> tuple[Network, ...]:
    return tuple(sorted((ip_network(text) for text in texts), key=lambda n: (n.version, n)))


class AddressPolicy:
    """What may be reached: public addresses at ordinary ports, and the networks (CIDR) that an admin allows.

    An allowed network may be reached at any port although it is not public. An IPv6 address that carries an IPv4
    one must be allowed in both shapes. Metadata services are never reached. `proxy` is the operator's, through which
    all of it goes: it stands here so that no sender can forget it. Equal policies are interchangeable, so connection
    pools are kept per policy.

    Raises:
        ValueError: a text that is no network, or has host bits set.

    """

    def __init__(
        self,
        allow_networks: Sequence[str] = (),
        *,
        ports: Sequence[tuple[int, int]] = ORDINARY_PORTS,
        own: frozenset[Address] | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        self.allow_networks = _networks(allow_networks)
        self.ports = tuple(ports)
        self._own = own_addresses() if own is None else own
        self._allowed = {version: _Ranges(n for n in self.allow_networks if n.version == version) for version in (4, 6)}
        self.proxy = proxy
        self._key = (self.allow_networks, self.ports, self._own, proxy)
        self._hash = hash(self._key)
        self._reason = functools.lru_cache(maxsize=_CACHE)(self._find_reason)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AddressPolicy) and self._key == other._key

    def __hash__(self) -> int:
        return self._hash

    def vet(self, address: str, port: int | None = None) -> None:
        """Pass when `address` (numeric) may be reached, at `port` where one is given.

        Raises:
            Permanent: ADDRESS_REFUSED.

        """
        if refusal := self.refusal(address, port):
            raise refusal

    def refusal(self, address: str, port: int | None = None) -> Permanent | None:
        """Return the error that `vet` would raise, or None."""
        reason = self._reason(address, port)
        return address_refused(address, reason) if reason else None

    def within(self, networks: Sequence[str]) -> bool:
        """Say whether all that this policy allows lies within `networks`: a workspace's list under the ceiling."""
        ceiling = _networks(networks)
        return all(
            any(mine.version == wide.version and mine.subnet_of(wide) for wide in ceiling)  # type: ignore[arg-type]
            for mine in self.allow_networks
        )

    def _find_reason(self, text: str, port: int | None) -> str:
        try:
            address = ip_address(text)
        except ValueError:
            return "it is no numeric address"
        carried = embedded_v4(address) if isinstance(address, IPv6Address) else ()
        if isinstance(address, IPv6Address) and address.scope_id:
            return "an address with a zone is local to a link"
        if address in METADATA or any(each in METADATA for each in carried):
            return "a metadata service is never reached"
        if int(address) in self._allowed[address.version]:
            return next((reason for each in carried if (reason := self._find_reason(str(each), port))), "")
        return "it is not public and no allowed network holds it" if carried else self._public_reason(address, port)

    def _public_reason(self, address: Address, port: int | None) -> str:
        if not _is_public(address):
            return "it is not public and no allowed network holds it"
        if address in self._own:
            return "it is an address of this machine"
        if port is not None and not any(low <= port <= high for low, high in self.ports):
            return f"port {port} of a public address is not one that is reached"
        return ""


_V4_REFUSED = _Ranges(NOT_PUBLIC_V4)
_V6_REFUSED = _Ranges(NOT_PUBLIC_V6)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return int(address) not in _V4_REFUSED
    return address in PUBLIC_V6 and int(address) not in _V6_REFUSED
