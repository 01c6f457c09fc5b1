"""JSON Web Key Sets, and tokens before anything is believed: what of them is read, and how much."""

from __future__ import annotations

import json
import re
import threading
from typing import Any

import jwt
from jwt.exceptions import PyJWTError

from server.kernel.errors import Unavailable
from server.webhooks.verifiers.fetching import KEYS_UNAVAILABLE
from server.webhooks.verifiers.reading import from_base64, refused

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,4096}\.[A-Za-z0-9_-]{1,16384}\.[A-Za-z0-9_-]{1,4096}")
_MOST_KEYS = 100
_LONGEST_KID = 256


def read_token(text: str) -> tuple[str, dict[str, Any]]:
    """Return a token and its head.

    Raises:
        Unauthenticated: SIGNATURE_REFUSED: it is no token, or asks for what we do not know (`crit`).

    """
    signature = text.rpartition(".")[2].replace("-", "+").replace("_", "/")
    if not _TOKEN.fullmatch(text) or from_base64(signature) is None:
        raise refused("no token")
    try:
        head = jwt.get_unverified_header(text)
    except (PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise refused("head of the token") from error
    if "crit" in head or "b64" in head or not isinstance(head.get("alg"), str):
        raise refused("head of the token")
    return text, head


class KeySet:
    """The keys of one set, read once for each body that it has."""

    __slots__ = ("_body", "_keys", "_lock", "_made")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._body = b""
        self._keys: list[dict[str, Any]] = []
        self._made: dict[tuple[int, str], Any] = {}

    def find(self, body: bytes, kid: object, algorithm: str) -> list[Any]:
        """Return the keys for an algorithm: those of that `kid`, or where the token names none the only one there is.

        Raises:
            Unavailable: KEYS_UNAVAILABLE: what stands there is no key set.

        """
        with self._lock:
            if body != self._body:
                self._keys, self._made = _keys_of(body), {}
                self._body = body
            if kid is None:
                named = list(enumerate(self._keys)) if len(self._keys) == 1 else []
            else:
                named = [(number, each) for number, each in enumerate(self._keys) if each.get("kid") == kid]
            made = [self._key(number, each, algorithm) for number, each in named]
        return [each for each in made if each is not None]

    def _key(self, number: int, declared: dict[str, Any], algorithm: str) -> Any:
        if declared.get("alg", algorithm) != algorithm or (number, algorithm) in self._made:
            return self._made.get((number, algorithm))
        try:
            read = jwt.PyJWK(declared, algorithm)
            made = None if read.Algorithm.check_key_length(read.key) else read.key
        except (PyJWTError, ValueError, TypeError, KeyError, AttributeError):
            made = None  # a key of another kind, or damaged: the others of the set still count
        self._made[number, algorithm] = made
        return made


def _keys_of(body: bytes) -> list[dict[str, Any]]:
    """Return the keys that may verify; shared secrets have no place in a public set."""
    try:
        keys = json.loads(body)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        message = "what stands at the address of the keys is no key set"
        raise Unavailable(message, code=KEYS_UNAVAILABLE, source="verify", after=60.0) from error
    every = [each for each in keys if isinstance(each, dict)] if isinstance(keys, list) else []
    return [
        each
        for each in every[:_MOST_KEYS]
        if each.get("kty") in ("RSA", "EC", "OKP")
        and each.get("use", "sig") == "sig"
        and isinstance(each.get("kid", ""), str)
        and len(each.get("kid", "")) <= _LONGEST_KID
    ]
