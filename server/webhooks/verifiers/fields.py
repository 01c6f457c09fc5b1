"""Fields that several schemes share, and field types of what proves a sender: networks, fingerprints, certificates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any

from server.documents.fields import WRONG_VALUE, Field, FieldType, ListOf, OneOf
from server.documents.findings import shown
from server.documents.scalars import Duration, text_of
from server.documents.values import SECRET_ONLY
from server.kernel.errors import Permanent
from server.sdk.headers import FRAMING
from server.transport.headers import vet_header

if TYPE_CHECKING:
    from server.documents.checking import Checker
    from server.documents.nodes import Node

DEFAULT_TOLERANCE = "5m"
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{64}|(?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}")
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+")


@dataclass(frozen=True)
class SenderHeader(FieldType):
    """The name of a header that senders write; any but those that frame the request."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check that a request can have such a header."""
        text = text_of(node, checker, "the name of a header")
        if text is None:
            return
        try:
            vet_header(text, "")
        except Permanent as refusal:
            checker.error(WRONG_VALUE, node, refusal.message)
            return
        if text.lower() in FRAMING:
            checker.error(WRONG_VALUE, node, f"the header {shown(text)} frames the request and proves nothing")

    def schema(self) -> dict[str, Any]:
        """Return the schema of the name."""
        return {"type": "string", "minLength": 1, "maxLength": 100}

    def label(self) -> str:
        """Return `name of a header`."""
        return "name of a header"


@dataclass(frozen=True)
class Cidr(FieldType):
    """A network like `192.0.2.0/24`, or one address."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check the form, and that no bits stand behind the prefix."""
        text = text_of(node, checker, "a network like 192.0.2.0/24")
        if text is not None and network_of(text) is None:
            message = f"a network like 192.0.2.0/24, without bits behind the prefix, is needed, found {shown(text)}"
            checker.error(WRONG_VALUE, node, message)

    def schema(self) -> dict[str, Any]:
        """Return the schema of the text."""
        return {"type": "string", "maxLength": 50}

    def label(self) -> str:
        """Return `CIDR`."""
        return "CIDR"


def network_of(text: str) -> IPv4Network | IPv6Network | None:
    """Return a network, or None where the text is none."""
    try:
        return ip_network(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class Fingerprint(FieldType):
    """The SHA-256 of a certificate, in hexadecimal, with or without colons: public, so no credential."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check the form."""
        text = text_of(node, checker, "a SHA-256 fingerprint")
        if text is not None and not _FINGERPRINT.fullmatch(text):
            checker.error(WRONG_VALUE, node, "a SHA-256 fingerprint has 64 hexadecimal digits, with or without colons")

    def schema(self) -> dict[str, Any]:
        """Return the schema of the text."""
        return {"type": "string", "maxLength": 95, "pattern": f"^({_FINGERPRINT.pattern.replace('(?:', '(')})$"}

    def label(self) -> str:
        """Return `SHA-256 fingerprint`."""
        return "SHA-256 fingerprint"


@dataclass(frozen=True)
class HostName(FieldType):
    """The name of a host, in small letters, without a port."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check the form."""
        text = text_of(node, checker, "the name of a host")
        if text is not None and not _HOST.fullmatch(text):
            checker.error(WRONG_VALUE, node, f"a host like api.example.com is needed here, found {shown(text)}")

    def schema(self) -> dict[str, Any]:
        """Return the schema of the text."""
        return {"type": "string", "maxLength": 253}

    def label(self) -> str:
        """Return `host`."""
        return "host"


def key_field(about: str) -> Field:
    """Return the `key` of a scheme: one secret, or several of which any fits."""
    return Field("key", OneOf((SECRET_ONLY, ListOf(SECRET_ONLY, 1, 5))), about, required=True)


KEY = key_field(
    "The secret that the sender knows, or several while it is changed: any of them fits, and so does every version of a"
    " secret that is still valid."
)
TOLERANCE = Field(
    "tolerance", Duration("1s", "1d"), "How far the sender's timestamp may be from now.", default=DEFAULT_TOLERANCE
)
ORIGINS = Field(
    "origins",
    ListOf(HostName(), 1, 50),
    "Which senders the CloudEvents handshake (`OPTIONS` with `WebHook-Request-Origin`) admits; without it every one that asks:"
    " what they then send is verified all the same.",
)
COMMON = (ORIGINS,)
