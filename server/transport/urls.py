"""Which URLs we send to at all, before any name is looked up. The socket check is the guard; this is the early no."""

from __future__ import annotations

import functools
import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple
from urllib.parse import quote

from server.transport.failures import url_refused

LONGEST = 2048
_SCHEME = re.compile(r"(?i)(https?)://")
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f\\\ud800-\udfff]")
_PORT = re.compile(r"[0-9]{1,5}")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"(?i)0x[0-9a-f]*|[0-9]+")
_LONGEST_HOST = 253
_HIGHEST_PORT = 65535
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SAFE = "!#$%&'()*+,-./:;=?@_~[]"


class Target(NamedTuple):
    """A URL that may be sent to. `url` is ASCII without a fragment; `host` has no brackets, `literal` = an address.

    `authority` is what stands in `Host`, `path` goes with its query, `origin` tells connections apart.
    """

    url: str
    scheme: str
    host: str
    port: int
    literal: bool
    authority: str
    path: str
    origin: str


@functools.lru_cache(maxsize=16_384)  # as many as webhooks at work
def vet_url(url: str) -> Target:
    """Take a URL apart strictly, so that no two parsers can read it differently.

    Raises:
        Permanent: URL_REFUSED for another scheme, user info, more than 2,048 characters, control characters, spaces
            or backslashes, and for a host that is neither a name in ASCII nor a canonical address.

    """
    if len(url) > LONGEST:
        raise url_refused(f"it is longer than {LONGEST} characters")
    if _CONTROL.search(url):
        raise url_refused("it holds a space, a backslash or a control character")
    found = _SCHEME.match(url)
    if found is None:
        raise url_refused("only http:// and https:// are sent to")
    scheme = found[1].lower()
    authority, rest = _split(url[found.end() :])
    if "@" in authority:
        raise url_refused("user info before the host is not taken; use the integration's auth")
    host, port = _host_and_port(authority)
    literal = _vet_host(host)
    bare = host.strip("[]")
    path = quote(rest.partition("#")[0], safe=_SAFE)
    if not path.startswith("/"):
        path = f"/{path}"
    number = port or _DEFAULT_PORTS[scheme]
    shown = host if port is None else f"{host}:{port}"
    authority = host if number == _DEFAULT_PORTS[scheme] else f"{host}:{number}"
    origin = f"{scheme}://{host.lower()}:{number}"
    return Target(f"{scheme}://{shown}{path}", scheme, bare, number, literal, authority, path, origin)


def _split(text: str) -> tuple[str, str]:
    end = min((place for place in map(text.find, "/?#") if place >= 0), default=len(text))
    return text[:end], text[end:]


def _host_and_port(authority: str) -> tuple[str, int | None]:
    host, separator, port = authority, "", ""
    if not authority.endswith("]"):
        host, separator, port = authority.rpartition(":")
        if not separator:
            host = authority
    if not separator:
        return host, None
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= _HIGHEST_PORT:
        raise url_refused("the port is not a number from 1 to 65535")
    return host, int(port)


def _vet_host(host: str) -> bool:
    """Say whether the host is an address; refuse every form that is neither that nor a plain name."""
    if host.startswith("[") and host.endswith("]"):
        try:
            IPv6Address(host[1:-1] if "%" not in host else "")
        except AddressValueError as error:
            raise url_refused("the host in brackets is no IPv6 address") from error
        return True
    if not host.isascii():
        raise url_refused("the host is not ASCII; write an international name in its xn-- form")
    labels = host.removesuffix(".").split(".")
    if len(host) > _LONGEST_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise url_refused("the host is no host name")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            IPv4Address(host)
        except AddressValueError as error:
            raise url_refused("the host ends in a number but is no address of the form 192.0.2.1") from error
        return True
    return False
