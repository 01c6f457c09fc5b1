"""The key ring: AES-256-GCM under the newest key, readable under any, bound to the place where the value belongs.

The additional data is `organization|workspace|name|version`: a ciphertext copied into another tenant's row, another name or
another version does not decrypt. Each row says which key wrote it, so keys can be added, rewrapped and dropped.
"""

from __future__ import annotations

import hmac
import os
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.kernel.errors import Invalid, Retryable, code

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_RING_INVALID = code(
    "KEY_RING_INVALID", "CROSSDOCK_KEYS is not a list `id:base64` by comma with keys of 32 bytes, newest first."
)
SECRET_UNREADABLE = code(
    "SECRET_UNREADABLE",
    "A stored secret does not decrypt: its key is missing in CROSSDOCK_KEYS, or the row was tampered with.",
)
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_KEY_BYTES = 32
_NONCE_BYTES = 12


class KeyRing:
    """Keys by id; the first encrypts, all decrypt. Its `repr` shows ids only."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys or any(len(key) != _KEY_BYTES or not _ID.fullmatch(name) for name, key in keys.items()):
            raise Invalid(
                "the key ring needs at least one key, each of 32 bytes", code=KEY_RING_INVALID, source="access"
            )
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}
        self.newest = next(iter(keys))
        self._markings = [hmac.digest(key, b"crossdock fingerprint", "sha256") for key in reversed(list(keys.values()))]

    @classmethod
    def read(cls, text: str) -> KeyRing:
        """Read `id:base64,id:base64`, newest first, as in CROSSDOCK_KEYS.

        Raises:
            Invalid: KEY_RING_INVALID; the message never shows a key.

        """
        keys: dict[str, bytes] = {}
        for number, part in enumerate((each.strip() for each in text.split(",") if each.strip()), 1):
            name, _, encoded = part.partition(":")
            try:
                key = b64decode(encoded, validate=True)
            except (Base64Error, ValueError) as error:
                raise Invalid(
                    f"key {number} of the ring is not base64", code=KEY_RING_INVALID, source="access"
                ) from error
            if name in keys:
                raise Invalid(f"key {number} of the ring repeats an id", code=KEY_RING_INVALID, source="access")
            keys[name] = key
        return cls(keys)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, newest first."""
        return tuple(self._ciphers)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self.ids)})"

    def fingerprints(self, value: bytes) -> list[str]:
        """Return by what to know a value again without keeping it: nobody without the ring can try values against it.

        One per key, that of the oldest first: processes that have a new key already and those that have not go by the same.
        """
        return [hmac.digest(each, value, "sha256").hex() for each in self._markings]

    def encrypt(self, value: bytes, place: str) -> tuple[str, bytes]:
        """Encrypt a value for a place; return the key's id and nonce + ciphertext + tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return self.newest, nonce + self._ciphers[self.newest].encrypt(nonce, value, place.encode())

    def decrypt(self, key_id: str, stored: bytes, place: str) -> bytes:
        """Decrypt what was encrypted for that place.

        Raises:
            Retryable: SECRET_UNREADABLE; it passes once the ring has the key (on this host too).

        """
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise Retryable(f"the key ring has no key {key_id!r}", code=SECRET_UNREADABLE, source="access", key=key_id)
        try:
            return cipher.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise Retryable("a stored secret does not decrypt", code=SECRET_UNREADABLE, source="access") from error


def new_key(identity: str) -> str:
    """Make a new key as an entry of the ring: `id:base64`."""
    return f"{identity}:{b64encode(os.urandom(_KEY_BYTES)).decode()}"


def place_of(organization_id: int, workspace_id: int, name: str, version: int) -> str:
    """Return the additional data of a secret's version."""
    return f"{organization_id}|{workspace_id}|{name}|{version}"
