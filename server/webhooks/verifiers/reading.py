"""What every scheme reads requests with: headers that stand once, secrets compared in constant time, one refusal for all."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from server.kernel.errors import Invalid, Unauthenticated
from server.sdk.signing import KEY_INVALID, SIGNATURE_REFUSED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.webhooks.inbound.arrived import Arrived, Reply

SOURCE = "verify"
_LONGEST = 16 * 1024
_ID = re.compile(r"[A-Za-z0-9_.:=/+@-]{1,256}")


def refused(reason: str) -> Unauthenticated:
    """Build the one refusal; `reason` goes to the workspace's own log, never to the sender."""
    return Unauthenticated("the signature is refused", code=SIGNATURE_REFUSED, source=SOURCE, reason=reason)


def bad_key(reason: str) -> Invalid:
    """Build the error for a secret that the scheme cannot use; it never holds the secret."""
    return Invalid(reason, code=KEY_INVALID, source=SOURCE)


def header(request: Arrived, name: str) -> str:
    """Return a header by its lower-case name, empty where it is not there.

    Raises:
        Unauthenticated: it came more than once, so that we and the sender might read different ones; or it is endless.

    """
    value = request.headers.get(name, "")
    if name in request.repeated:
        raise refused(f"the header {name} came more than once")
    if len(value) > _LONGEST:
        raise refused(f"the header {name} is too long")
    return value


def raw(text: str) -> bytes:
    """Return the bytes that a header's text stands for.

    Raises:
        Unauthenticated: no bytes of a header make this text.

    """
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise refused("a header is no text of bytes") from error


def parameter(query: str, name: str) -> bytes:
    """Return the one parameter of that name in a query, or nothing.

    Raises:
        Unauthenticated: the query is endless, or no bytes make it.

    """
    if len(query) > _LONGEST:
        raise refused("the query is too long")
    pairs = [each.partition("=") for each in query.split("&")]
    values = [value for key, _, value in pairs if decoded(raw(key)) == name.encode()]
    return decoded(raw(values[0])) if len(values) == 1 else b""


def decoded(written: bytes) -> bytes:
    """Return what a name or value of a query or form stands for."""
    return unquote_to_bytes(written.replace(b"+", b" "))


def from_base64(text: str) -> bytes | None:
    """Return what base64 stands for, with or without its padding, or None; one text for one value."""
    try:
        read = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return read if base64.b64encode(read).rstrip(b"=") == text.encode().rstrip(b"=") else None


def message_id(request: Arrived, name: str) -> str:
    """Return the sender's id of the message for logs, when it is a short plain text that came once."""
    text = request.headers.get(name, "")
    return text if name not in request.repeated and _ID.fullmatch(text) else ""


class Shared:
    """Secrets that a request shows as they are, any of which fits; their lengths do not show in the time.

    Raises:
        Invalid: KEY_INVALID: there is none, or an empty one.

    """

    __slots__ = ("_digests",)

    def __init__(self, secrets: Sequence[bytes]) -> None:
        if not secrets or not all(secrets):
            raise bad_key("the scheme needs a secret that is not empty")
        self._digests = tuple(hashlib.sha256(each).digest() for each in secrets)

    def fits(self, given: bytes) -> bool:
        """Say whether it is one of them; every one is compared."""
        digest = hashlib.sha256(given).digest()
        # every one, so that the time tells nothing about which one fitted
        fits = [hmac.compare_digest(digest, each) for each in self._digests]
        return any(fits)


class NoHandshake:
    """For schemes whose senders ask nothing beforehand."""

    __slots__ = ()

    def handshake(self, request: Arrived) -> Reply | None:  # noqa: ARG002 - the signature of every scheme
        """Return None."""
        return None
