"""The operator's outbound proxy: where it is and what is said to it. Used by both senders; never by the environment's.

The proxy's own address is exempt from the address policy. The target is vetted as far as it can be from here: a literal
address always, a name when it resolves here. A name goes to the proxy as a name, so the proxy must itself refuse
addresses that are not public: what it dials, it alone sees.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from server.transport.failures import DNS_FAILED, proxy_failed

if TYPE_CHECKING:
    from server.kernel.errors import CrossdockError
    from server.transport.urls import Target

HEAD_LIMIT = 8 * 1024
AUTHENTICATION_REQUIRED = 407
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: [^\r\n]*)?\r\n")
_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9a-fA-F:.]+")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy: `host` has no brackets, `authorization` is the whole value of the header or empty."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)

    @classmethod
    def read(cls, text: str) -> Proxy | None:
        """Read `http://[user:password@]host:port`; empty is none.

        Raises:
            ValueError: it is not of this form; the text stays out of the message, since it may hold a password.

        """
        if not text:
            return None
        form = "not http://[user:password@]host:port"
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise ValueError(form) from error
        beyond = parts.path not in {"", "/"} or parts.query or parts.fragment
        if parts.scheme != "http" or port is None or beyond or not _HOST.fullmatch(host):
            raise ValueError(form)
        credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        named = parts.username is not None or parts.password is not None
        basic = f"Basic {base64.b64encode(credentials.encode()).decode()}" if named else ""
        return cls(host, port, basic)

    @property
    def literal(self) -> bool:
        """Whether the host is an address, not a name."""
        return ":" in self.host or self.host.replace(".", "").isdigit()

    @property
    def line(self) -> str:
        """The line that plain requests carry on top, with its leading CRLF, or nothing."""
        return f"\r\nProxy-Authorization: {self.authorization}" if self.authorization else ""

    def connect(self, target: Target) -> bytes:
        """Return the request for a tunnel to the target."""
        host = f"[{target.host}]" if ":" in target.host else target.host
        where = f"{host}:{target.port}"
        return f"CONNECT {where} HTTP/1.1\r\nHost: {where}{self.line}\r\n\r\n".encode("ascii")


def whole(head: bytes) -> bool:
    """Say whether the proxy's answer to CONNECT is complete.

    Raises:
        Retryable: PROXY_FAILED when it is too long or goes on behind its end.

    """
    end = head.find(b"\r\n\r\n")
    if end >= 0 and end + 4 == len(head):
        return True
    if end >= 0 or len(head) > HEAD_LIMIT:
        raise proxy_failed("its answer is not one to CONNECT")
    return False


def vet_tunnel(head: bytes) -> None:
    """Pass when the proxy has opened the tunnel.

    Raises:
        Retryable: PROXY_FAILED.

    """
    found = _STATUS.match(head)
    if found is None:
        raise proxy_failed("its answer is no HTTP")
    if not found[1].startswith(b"2"):
        raise proxy_failed(f"it answered {found[1].decode()} to CONNECT")


def unknown_here(error: CrossdockError) -> bool:
    """Say whether a look-up failed only because the name is not known here: then the proxy alone can know it."""
    return error.code == DNS_FAILED
