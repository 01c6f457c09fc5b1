"""The schemes beside Standard Webhooks, made and verified by one declaration: described HMACs, GitHub, Slack, Stripe.

A described scheme says what is signed as a template over raw bytes, before anything is parsed: `{id}.{timestamp}.{body}`,
`v0:{timestamp}:{body}`, `{header:X-Shop}{body}`. `{id}` and `{timestamp}` are headers too: those that the description
names, else `webhook-id` and `webhook-timestamp`. So signing and verifying read the same request in the same way.

Sources: GitHub, "Validating webhook deliveries"; Slack, "Verifying requests"; Stripe, "Verify signatures manually".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from server.kernel.errors import Invalid, Permanent, Unauthenticated, code
from server.kernel.policies import parse_duration
from server.sdk.signing import KEY_INVALID, SIGNATURE_REFUSED, TOLERANCE, Signer, Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TEMPLATE_INVALID = code(
    "TEMPLATE_INVALID", "What is signed is text with {id}, {timestamp}, {header:NAME} and, once at least, {body}."
)
HEADER_UNSIGNED = code("HEADER_UNSIGNED", "What is signed names a header that the request does not have.")

ALGORITHMS = ("sha1", "sha256", "sha384", "sha512")
ENCODINGS = ("hex", "base64", "base64url")
KEY_ENCODINGS = ("text", "hex", "base64")
STANDARD = "standard-webhooks"
STANDARD_ASYMMETRIC = "standard-webhooks-v1a"
DESCRIBED = "hmac"
STRIPE = "stripe"
ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
_ED25519_KEYS = ("whsk_", "whpk_")
_PLACEHOLDER = re.compile(r"\{(?:(id|timestamp|body)|header:([A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}))\}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_LONGEST_HEADER = 2048
_MOST_SIGNATURES = 10
_BODY = None


class RequestSigner(Protocol):
    """What signs a request."""

    def headers(self, message_id: str, timestamp: int, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers to add; `timestamp` in whole seconds since 1970, `headers` are those of the request so far.

        Raises:
            Permanent: HEADER_UNSIGNED.

        """
        ...


class RequestVerifier(Protocol):
    """What verifies a request."""

    def verify(self, headers: Mapping[str, str], body: bytes, now: float) -> str:
        """Return the message id of a request, empty where the scheme has none; `headers` has lower-case names.

        Raises:
            Unauthenticated: SIGNATURE_REFUSED, one answer for every cause; `details.reason` is for our log.

        """
        ...


Part = bytes | str | None  # a literal, the header of that lower-case name, the body


def read_template(text: str) -> tuple[tuple[str, str], ...]:
    """Take a template apart into (`text`, literal), (`place`, `id` | `timestamp` | `body`) and (`header`, name).

    Raises:
        Invalid: TEMPLATE_INVALID.

    """
    parts: list[tuple[str, str]] = []
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        parts.append(("text", text[end : found.start()]))
        parts.append(("place", found[1]) if found[1] else ("header", found[2]))
        end = found.end()
    parts.append(("text", text[end:]))
    if any(set("{}") & set(value) for kind, value in parts if kind == "text"):
        raise _bad_template("a brace stands for no placeholder; there are {id}, {timestamp}, {body} and {header:NAME}")
    if ("place", "body") not in parts:
        raise _bad_template("{body} is not signed, so anybody could change it")
    return tuple(each for each in parts if each != ("text", ""))


def _bad_template(reason: str) -> Invalid:
    return Invalid(reason, code=TEMPLATE_INVALID, source="signing")


@dataclass(frozen=True)
class HmacScheme:
    """A described HMAC: one signature in one header. `timestamp` and `id` name headers; `tolerance` is in seconds.

    base64url is written without padding; verifying takes it with padding too, and hexadecimal in either case.

    Raises:
        Invalid: TEMPLATE_INVALID, by the first use.

    """

    header: str
    signed: str
    algorithm: str = "sha256"
    encoding: str = "hex"
    prefix: str = ""
    timestamp: str | None = None
    id: str | None = None
    tolerance: float = TOLERANCE
    key_encoding: str = "text"

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """What is signed, piece by piece."""
        places: dict[str, str | None] = {
            "id": (self.id or ID_HEADER).lower(),
            "timestamp": (self.timestamp or TIMESTAMP_HEADER).lower(),
            "body": _BODY,
        }
        read = read_template(self.signed)
        return tuple(
            value.encode() if kind == "text" else value.lower() if kind == "header" else places[value]
            for kind, value in read
        )

    def content(self, body: bytes, header: Callable[[str], str | None]) -> bytes:
        """Put together what is signed.

        Raises:
            LookupError: a header is not there.

        """
        pieces = []
        for part in self.parts:
            if isinstance(part, bytes):
                pieces.append(part)
            elif part is _BODY:
                pieces.append(body)
            else:
                value = header(part)
                if value is None:
                    raise LookupError(part)
                pieces.append(value.encode("latin-1", "replace"))
        return b"".join(pieces)

    def written(self, digest: bytes) -> str:
        """Return a signature as the header holds it."""
        if self.encoding == "hex":
            return self.prefix + digest.hex()
        if self.encoding == "base64":
            return self.prefix + base64.b64encode(digest).decode()
        return self.prefix + base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def read(self, text: str) -> bytes | None:
        """Return the signature that a header holds, or None."""
        if len(text) > _LONGEST_HEADER or not text.startswith(self.prefix):
            return None
        bare = text.removeprefix(self.prefix)
        if self.encoding == "hex":
            return bytes.fromhex(bare) if _HEXADECIMAL.fullmatch(bare) else None
        letters = b"-_" if self.encoding == "base64url" else b"+/"
        read = _from_base64(bare, letters)
        # one text for one value: the bits that the last letter leaves over are zero
        return read if read and base64.b64encode(read, letters).rstrip(b"=") == bare.encode().rstrip(b"=") else None


GITHUB = HmacScheme("X-Hub-Signature-256", "{body}", prefix="sha256=")
SLACK = HmacScheme("X-Slack-Signature", "v0:{timestamp}:{body}", prefix="v0=", timestamp="X-Slack-Request-Timestamp")
SHOPIFY = HmacScheme("X-Shopify-Hmac-Sha256", "{body}", encoding="base64")
NAMED = {"github": GITHUB, "slack": SLACK, "shopify": SHOPIFY}
ONE_SIGNATURE = frozenset({*NAMED, DESCRIBED})
"""Schemes whose header has room for one signature: the newest key signs alone."""


class Hmac:
    """An HMAC under one key, whose start is computed once."""

    __slots__ = ("_start",)

    def __init__(self, key: bytes, algorithm: str = "sha256") -> None:
        self._start = hmac.new(key, digestmod=getattr(hashlib, algorithm))

    def digest(self, *pieces: bytes) -> bytes:
        """Return the HMAC of the pieces, one after the other."""
        state = self._start.copy()
        for piece in pieces:
            state.update(piece)
        return state.digest()


class HmacSigner:
    """Signs by a described scheme, with the newest key: the first.

    Raises:
        Invalid: KEY_INVALID, TEMPLATE_INVALID.

    """

    __slots__ = ("_hmac", "_scheme")

    def __init__(self, scheme: HmacScheme, keys: Sequence[str]) -> None:
        self._scheme = scheme
        self._hmac = Hmac(_key_bytes(keys, scheme.key_encoding)[0], scheme.algorithm)
        _ = scheme.parts

    def headers(self, message_id: str, timestamp: int, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the signature, and the id and timestamp where the scheme has headers for them."""
        scheme = self._scheme
        added = {scheme.timestamp: str(timestamp)} if scheme.timestamp else {}
        if scheme.id:
            added[scheme.id] = message_id
        known = {name.lower(): value for name, value in headers.items()}
        known |= {ID_HEADER: message_id, TIMESTAMP_HEADER: str(timestamp)}
        known |= {name.lower(): value for name, value in added.items()}
        try:
            content = scheme.content(body, known.get)
        except LookupError as error:
            message = f"the header {error.args[0]} is signed, but the request has none"
            raise Permanent(message, code=HEADER_UNSIGNED, source="signing") from error
        added[scheme.header] = scheme.written(self._hmac.digest(content))
        return added


class HmacVerifier:
    """Verifies by a described scheme, with any of the keys.

    Raises:
        Invalid: KEY_INVALID, TEMPLATE_INVALID.

    """

    __slots__ = ("_hmacs", "_scheme")

    def __init__(self, scheme: HmacScheme, keys: Sequence[str]) -> None:
        self._scheme = scheme
        self._hmacs = tuple(Hmac(key, scheme.algorithm) for key in _key_bytes(keys, scheme.key_encoding))
        _ = scheme.parts

    def verify(self, headers: Mapping[str, str], body: bytes, now: float) -> str:
        """See `RequestVerifier`; the timestamp counts where the scheme has a header for it."""
        scheme = self._scheme
        if scheme.timestamp:
            _vet_timestamp(headers.get(scheme.timestamp.lower(), ""), now, scheme.tolerance)
        signature = scheme.read(headers.get(scheme.header.lower(), ""))
        try:
            content = scheme.content(body, headers.get)
        except LookupError as error:
            raise _refused(f"no header {error.args[0]}") from error
        # every key is tried, so that the time tells nothing about which one fitted
        fits = [hmac.compare_digest(each.digest(content), signature or b"") for each in self._hmacs]
        if not any(fits):
            raise _refused("signature")
        return headers.get(scheme.id.lower(), "") if scheme.id else ""


class StripeSigner:
    """Signs `{timestamp}.{body}`; every valid key adds a `v1`, so both fit while one is rotated.

    Raises:
        Invalid: KEY_INVALID.

    """

    __slots__ = ("_hmacs",)

    def __init__(self, keys: Sequence[str]) -> None:
        self._hmacs = tuple(Hmac(key) for key in _key_bytes(keys))

    def headers(self, message_id: str, timestamp: int, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG002 - the signature of every scheme
        """Return `Stripe-Signature: t=…,v1=…`."""
        digests = [each.digest(b"%d." % timestamp, body).hex() for each in self._hmacs]
        return {"Stripe-Signature": ",".join([f"t={timestamp}", *(f"v1={each}" for each in digests)])}


class StripeVerifier:
    """Verifies `Stripe-Signature` with any of the keys.

    Raises:
        Invalid: KEY_INVALID.

    """

    __slots__ = ("_hmacs", "_tolerance")

    def __init__(self, keys: Sequence[str], tolerance: float = TOLERANCE) -> None:
        self._hmacs = tuple(Hmac(key) for key in _key_bytes(keys))
        self._tolerance = tolerance

    def verify(self, headers: Mapping[str, str], body: bytes, now: float) -> str:
        """See `RequestVerifier`; other versions than `v1` in the header are passed over."""
        header = headers.get("stripe-signature", "")
        if len(header) > _LONGEST_HEADER:
            raise _refused("header too long")
        pairs = [each.strip().partition("=") for each in header.split(",")]
        times = [value for name, _, value in pairs if name == "t"]
        texts = [value for name, _, value in pairs if name == "v1"]
        if len(times) != 1 or len(texts) > _MOST_SIGNATURES:
            raise _refused("header")
        _vet_timestamp(times[0], now, self._tolerance)
        given = [bytes.fromhex(each) for each in texts if _HEXADECIMAL.fullmatch(each)]
        content = (times[0].encode(), b".", body)
        fits = [hmac.compare_digest(each.digest(*content), raw) for each in self._hmacs for raw in given]
        if not any(fits):
            raise _refused("signature")
        return ""


def described(declared: Mapping[str, Any]) -> HmacScheme:
    """Return the scheme of a checked declaration: a named one, or `scheme: hmac` with its description."""
    if declared["scheme"] != DESCRIBED:
        return NAMED[declared["scheme"]]
    timestamp = declared.get("timestamp", {})
    return HmacScheme(
        header=declared["header"],
        signed=declared["signed"],
        algorithm=declared.get("algorithm", "sha256"),
        encoding=declared.get("encoding", "hex"),
        prefix=declared.get("prefix", ""),
        timestamp=timestamp.get("header"),
        id=declared.get("id", {}).get("header"),
        tolerance=parse_duration(timestamp.get("tolerance", f"{TOLERANCE}s")),
        key_encoding=declared.get("key_encoding", "text"),
    )


def signer_of(declared: Mapping[str, Any], keys: Sequence[str]) -> RequestSigner:
    """Return what signs by a checked declaration (`sign:`) with these keys, the newest first.

    Raises:
        Invalid: KEY_INVALID: the scheme cannot use a key; TEMPLATE_INVALID.

    """
    if declared["scheme"] in (STANDARD, STANDARD_ASYMMETRIC):
        return Signer(keys, only_private=declared["scheme"] == STANDARD_ASYMMETRIC)
    return StripeSigner(keys) if declared["scheme"] == STRIPE else HmacSigner(described(declared), keys)


def verifier_of(declared: Mapping[str, Any], keys: Sequence[str]) -> RequestVerifier:
    """Return what verifies by a checked declaration (`verify:`) with any of these keys.

    Raises:
        Invalid: KEY_INVALID: the scheme cannot use a key; TEMPLATE_INVALID.

    """
    if declared["scheme"] in (STANDARD, STANDARD_ASYMMETRIC):
        return Verifier(keys)
    return StripeVerifier(keys) if declared["scheme"] == STRIPE else HmacVerifier(described(declared), keys)


def _key_bytes(keys: Sequence[str], encoding: str = "text") -> list[bytes]:
    """Return the bytes of each key; the messages never hold one."""
    if not keys or not all(keys):
        raise Invalid("signing needs a key", code=KEY_INVALID, source="signing")
    if any(key.startswith(_ED25519_KEYS) for key in keys):
        message = "a whsk_ or whpk_ key is of ed25519: it signs by standard-webhooks, not by a shared secret"
        raise Invalid(message, code=KEY_INVALID, source="signing")
    if encoding == "text":
        return [key.encode() for key in keys]
    read = [_from_hex(key) if encoding == "hex" else _from_base64(key) for key in keys]
    found = [each for each in read if each]
    if len(found) != len(read):
        raise Invalid(f"the key is not {encoding}", code=KEY_INVALID, source="signing")
    return found


def _from_hex(text: str) -> bytes | None:
    return bytes.fromhex(text) if _HEXADECIMAL.fullmatch(text) else None


def _from_base64(text: str, more: bytes = b"+/") -> bytes | None:
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        return base64.b64decode(padded, altchars=more, validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None


def _vet_timestamp(text: str, now: float, tolerance: float) -> None:
    if not _TIMESTAMP.fullmatch(text) or abs(now - int(text)) > tolerance:
        raise _refused("timestamp")


def _refused(reason: str) -> Unauthenticated:
    return Unauthenticated("the signature is refused", code=SIGNATURE_REFUSED, source="signing", reason=reason)
