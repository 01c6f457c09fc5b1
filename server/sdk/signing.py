"""Standard Webhooks signatures, made and verified: `v1` (HMAC-SHA256) and `v1a` (ed25519).

Source: the Standard Webhooks specification. Signed is `{id}.{timestamp}.{body}`; the header holds one signature per
key, separated by spaces, so that two keys overlap while one is rotated. Keys are `whsec_` + base64 of 24 to 64 bytes,
`whsk_` + base64 of seed and public key, `whpk_` + base64 of the public key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from server.kernel.errors import Invalid, Unauthenticated, code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SIGNATURE_REFUSED = code(
    "SIGNATURE_REFUSED", "The webhook's signature, id or timestamp is missing, malformed or wrong."
)
KEY_INVALID = code("KEY_INVALID", "The signing key is not of the form whsec_…, whsk_… or whpk_… with a fitting length.")

TOLERANCE = 300
SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of keys, not a key
PRIVATE_PREFIX = "whsk_"
PUBLIC_PREFIX = "whpk_"
_SHORTEST, _LONGEST = 24, 64
_NEW = 32
_ED25519 = 32
_MOST_SIGNATURES = 10
_LONGEST_HEADER = 2048
_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_REFUSED = "the signature is refused"


class Key(Protocol):
    """One key that can sign."""

    def sign(self, content: bytes) -> str:
        """Return `v1,…` or `v1a,…`."""
        ...


class SecretKey:
    """A shared secret: `v1`."""

    __slots__ = ("_start",)

    def __init__(self, secret: bytes) -> None:
        self._start = hmac.new(secret, digestmod=hashlib.sha256)

    def digest(self, content: bytes) -> bytes:
        """Return the HMAC-SHA256 of `content`."""
        state = self._start.copy()
        state.update(content)
        return state.digest()

    def sign(self, content: bytes) -> str:
        """Return `v1,` and the signature in base64."""
        return f"v1,{base64.b64encode(self.digest(content)).decode()}"

    def verify(self, content: bytes, version: str, signature: bytes) -> bool:
        """Say whether this is our signature of `content`."""
        return version == "v1" and hmac.compare_digest(self.digest(content), signature)


class PrivateKey:
    """An ed25519 key that signs: `v1a`. `public` is its other half as `whpk_…`."""

    __slots__ = ("_key", "public")

    def __init__(self, seed_and_public: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed_and_public[:_ED25519])
        public = self._key.public_key().public_bytes_raw()
        if seed_and_public[_ED25519:] != public:
            raise _bad_key("the public half of the key does not belong to its seed")
        self.public = PUBLIC_PREFIX + base64.b64encode(public).decode()

    def sign(self, content: bytes) -> str:
        """Return `v1a,` and the signature in base64."""
        return f"v1a,{base64.b64encode(self._key.sign(content)).decode()}"

    def verify(self, content: bytes, version: str, signature: bytes) -> bool:
        """Say whether this is our signature of `content`."""
        return _ed25519_fits(self._key.public_key(), content, version, signature)


class PublicKey:
    """An ed25519 key that only verifies."""

    __slots__ = ("_key",)

    def __init__(self, public: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(public)

    def verify(self, content: bytes, version: str, signature: bytes) -> bool:
        """Say whether the private half signed `content`."""
        return _ed25519_fits(self._key, content, version, signature)


def _ed25519_fits(key: Ed25519PublicKey, content: bytes, version: str, signature: bytes) -> bool:
    if version != "v1a":
        return False
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def read_key(text: str) -> SecretKey | PrivateKey | PublicKey:
    """Read a key by its prefix.

    Raises:
        Invalid: KEY_INVALID; the message never holds the key.

    """
    for prefix, sizes, made in _KINDS:
        if text.startswith(prefix):
            raw = _decoded(text.removeprefix(prefix))
            if raw is None or len(raw) not in sizes:
                raise _bad_key(f"a {prefix}… key is base64 of {sizes[0]} to {sizes[-1]} bytes")
            return made(raw)
    raise _bad_key("a signing key starts with whsec_, whsk_ or whpk_")


_KINDS = (
    (SECRET_PREFIX, range(_SHORTEST, _LONGEST + 1), SecretKey),
    (PRIVATE_PREFIX, range(2 * _ED25519, 2 * _ED25519 + 1), PrivateKey),
    (PUBLIC_PREFIX, range(_ED25519, _ED25519 + 1), PublicKey),
)


def _bad_key(reason: str) -> Invalid:
    return Invalid(reason, code=KEY_INVALID, source="signing")


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None


class Signer:
    """Signs for one webhook: keys are decoded once, and each adds one signature, `v1` or `v1a` by its kind.

    Raises:
        Invalid: KEY_INVALID for a key that cannot sign, for none at all, or with `only_private` for a shared secret.

    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[str], *, only_private: bool = False) -> None:
        read = [read_key(key) for key in keys]
        self._keys: tuple[Key, ...] = tuple(key for key in read if not isinstance(key, PublicKey))
        if len(self._keys) != len(read) or not read:
            raise _bad_key("signing needs a whsec_ or whsk_ key")
        if only_private and not all(isinstance(key, PrivateKey) for key in self._keys):
            raise _bad_key("a v1a signature needs a whsk_ key")

    def headers(self, message_id: str, timestamp: int, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG002 - the signature of every scheme
        """Return the headers that show the signature; id and timestamp have headers of their own in every request."""
        return {"webhook-signature": self.sign(message_id, timestamp, body)}

    def sign(self, message_id: str, timestamp: int, body: bytes) -> str:
        """Return the value of `webhook-signature`; `timestamp` is in whole seconds since 1970."""
        content = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
        return " ".join([key.sign(content) for key in self._keys])


class Verifier:
    """Verifies what another system signed with any of our keys.

    Raises:
        Invalid: KEY_INVALID.

    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = tuple(read_key(key) for key in keys)
        if not self._keys:
            raise _bad_key("verifying needs a key")

    def verify(self, headers: Mapping[str, str], body: bytes, now: float) -> str:
        """Return the message id of a request that one of the keys signed within 300 s of `now` (seconds since 1970).

        `headers` has lower-case names. Every cause of refusal gives the same answer; `details.reason` is for our log.

        Raises:
            Unauthenticated: SIGNATURE_REFUSED.

        """
        message_id = headers.get("webhook-id", "")
        timestamp = headers.get("webhook-timestamp", "")
        if not _ID.fullmatch(message_id):
            raise _refused("id")
        if not _TIMESTAMP.fullmatch(timestamp) or abs(now - int(timestamp)) > TOLERANCE:
            raise _refused("timestamp")
        signatures = list(_signatures(headers.get("webhook-signature", "")))
        content = b"%b.%b.%b" % (message_id.encode(), timestamp.encode(), body)
        # every signature is tried with every key, so that the time tells nothing about which one fitted
        fits = [key.verify(content, version, raw) for key in self._keys for version, raw in signatures]
        if not any(fits):
            raise _refused("signature")
        return message_id


def _signatures(header: str) -> list[tuple[str, bytes]]:
    """Read the header strictly; what is malformed is left out, what is too much is refused."""
    if len(header) > _LONGEST_HEADER:
        raise _refused("header too long")
    parts = header.split(" ")
    if len(parts) > _MOST_SIGNATURES:
        raise _refused("too many signatures")
    read = []
    for part in parts:
        version, comma, text = part.partition(",")
        raw = _decoded(text) if comma else None
        # one text for one value: the bits that the last letter leaves over are zero
        if raw is not None and base64.b64encode(raw).rstrip(b"=") == text.encode().rstrip(b"="):
            read.append((version, raw))
    return read


def _refused(reason: str) -> Unauthenticated:
    return Unauthenticated(_REFUSED, code=SIGNATURE_REFUSED, source="signing", reason=reason)


def public_keys(keys: Sequence[str]) -> list[str]:
    """Return the `whpk_…` half of each key that has one, in order; what is no Standard Webhooks key has none."""
    private = [read_key(key) for key in keys if key.startswith(PRIVATE_PREFIX)]
    return [key.public for key in private if isinstance(key, PrivateKey)]


def sign_v1(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature` for these keys; keep a `Signer` where many messages are signed.

    Raises:
        Invalid: KEY_INVALID.

    """
    return Signer(secrets).sign(message_id, timestamp, body)


def generate_secret(size: int = _NEW) -> str:
    """Return a new shared secret, `whsec_…`, of `size` random bytes (24 to 64).

    Raises:
        ValueError: another size.

    """
    if not _SHORTEST <= size <= _LONGEST:
        raise ValueError(f"a secret has {_SHORTEST} to {_LONGEST} bytes")
    return SECRET_PREFIX + base64.b64encode(os.urandom(size)).decode()


def generate_private_key() -> str:
    """Return a new ed25519 key that signs, `whsk_…`; `read_key(…).public` is what receivers get."""
    key = Ed25519PrivateKey.generate()
    return PRIVATE_PREFIX + base64.b64encode(key.private_bytes_raw() + key.public_key().public_bytes_raw()).decode()
