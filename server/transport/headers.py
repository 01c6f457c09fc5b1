"""Which methods and headers may be sent: nothing that could split, smuggle or re-route a request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from server.transport.failures import request_refused

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
# The transport writes these itself; set by hand they could smuggle a second request or name another host.
FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def vet_method(method: str) -> None:
    """Pass when `method` is an HTTP token.

    Raises:
        Permanent: REQUEST_REFUSED.

    """
    if not _TOKEN.fullmatch(method) or method.upper() == "CONNECT":
        raise request_refused("the method is no HTTP method that is sent")


def vet_header(name: str, value: str) -> None:
    """Pass when the header can be sent as it stands.

    Raises:
        Permanent: REQUEST_REFUSED; the value stays out of the message.

    """
    if not _TOKEN.fullmatch(name):
        raise request_refused("a header name holds what no header name may")
    if not _VALUE.fullmatch(value):
        raise request_refused(f"the value of header {name} holds more than printable ASCII")


def vet_headers(headers: Mapping[str, str]) -> None:
    """Pass when every header can be sent and none of them frames the request.

    Raises:
        Permanent: REQUEST_REFUSED.

    """
    for name, value in headers.items():
        vet_header(name, value)
        if name.lower() in FRAMING:
            raise request_refused(f"the header {name} is written by the transport alone")
