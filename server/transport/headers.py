"""Which methods and headers may be sent: nothing that could split, smuggle or re-route a request."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from server.sdk.headers import FRAMING
from server.transport.failures import request_refused

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")


def vet_method(method: str) -> None:
    """Pass when `method` is an HTTP token.

    Raises:
        Permanent: REQUEST_REFUSED.

    """
    if not _TOKEN.fullmatch(method) or method.upper() == "CONNECT":
        raise request_refused("the method is no HTTP method that is sent")


@functools.lru_cache(maxsize=1024)
def _vet_name(name: str) -> bool:
    """Say whether the header frames the request; refuse what is no header name."""
    if not _TOKEN.fullmatch(name):
        raise request_refused("a header name holds what no header name may")
    return name.lower() in FRAMING


def vet_header(name: str, value: str) -> None:
    """Pass when the header can be sent as it stands.

    Raises:
        Permanent: REQUEST_REFUSED; the value stays out of the message.

    """
    _vet_name(name)
    if not _VALUE.fullmatch(value):
        raise request_refused(f"the value of header {name} holds more than printable ASCII")


def vet_headers(headers: Mapping[str, str]) -> None:
    """Pass when every header can be sent and none of them frames the request.

    Raises:
        Permanent: REQUEST_REFUSED.

    """
    for name, value in headers.items():
        if _vet_name(name):
            raise request_refused(f"the header {name} is written by the transport alone")
        vet_header(name, value)
