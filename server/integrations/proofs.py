"""Proofs that each request needs anew: a signature over it (`hmac`), an answer to the server's challenge (`digest`).

Source: RFC 7616 (HTTP Digest), with RFC 2617's MD5 for the servers that know no other.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import threading
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from server.kernel.clock import Clock

PLACES = ("method", "path", "host", "timestamp", "nonce", "body", "body_hash", "key_id")
"""What a signed text may name in braces; `path` has the query, `body_hash` is hexadecimal."""
ALGORITHMS = ("sha1", "sha256", "sha384", "sha512")
ENCODINGS = ("hex", "base64")
TIMES = ("epoch", "epoch_ms", "rfc3339")
PLACE = re.compile(r"\{(" + "|".join(PLACES) + r")\}")
_SHOWN = re.compile(r"\{(signature|key_id|timestamp|nonce)\}")
_PARAM = re.compile(r'([a-zA-Z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
_STRENGTH = ("SHA-512-256", "SHA-256", "MD5")


class Proof(Protocol):
    """What a request shows of its own."""

    def signed(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """Return the headers for this one sending."""
        ...

    def challenged(self, challenge: str) -> bool:
        """Take a 401's `WWW-Authenticate`; say whether the same request, signed anew, may pass."""
        ...


class HmacProof:
    """A signature over a text that is made of the request: `signed` names its parts in braces."""

    def __init__(self, auth: Mapping[str, Any], clock: Clock) -> None:
        self._auth = auth
        self._clock = clock

    def signed(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        auth, parts = self._auth, urlsplit(url)
        algorithm = auth.get("algorithm", "sha256")
        values: dict[str, bytes] = {
            "method": method.encode(),
            "path": ((parts.path or "/") + (f"?{parts.query}" if parts.query else "")).encode(),
            "host": parts.netloc.encode(),
            "timestamp": _time(self._clock.now(), auth.get("timestamp_format", "epoch")).encode(),
            "nonce": secrets.token_hex(16).encode(),
            "body": body,
            "body_hash": hashlib.new(algorithm, body, usedforsecurity=False).hexdigest().encode(),
            "key_id": auth.get("key_id", "").encode(),
        }
        text = b"".join(
            values[part] if place % 2 else part.encode() for place, part in enumerate(PLACE.split(auth["signed"]))
        )
        digest = hmac.digest(auth["key"].encode(), text, algorithm)
        signature = digest.hex() if auth.get("encoding", "hex") == "hex" else base64.b64encode(digest).decode()
        shown = {name: values[name].decode() for name in ("key_id", "timestamp", "nonce")} | {"signature": signature}
        made = {auth["header"]: _SHOWN.sub(lambda found: shown[found[1]], auth.get("value", "{signature}"))}
        for field, name in (("timestamp_header", "timestamp"), ("nonce_header", "nonce")):
            if field in auth:
                made[auth[field]] = shown[name]
        return made

    def challenged(self, challenge: str) -> bool:  # noqa: ARG002 - the protocol's signature
        """Say no: the same signature would be refused again."""
        return False


def _time(moment: datetime, form: str) -> str:
    if form == "rfc3339":
        return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    return str(int(moment.timestamp() * (1000 if form == "epoch_ms" else 1)))


class DigestProof:
    """HTTP Digest: the first request is challenged, and what the server said is used until it says something else."""

    def __init__(self, auth: Mapping[str, Any]) -> None:
        self._user, self._password = auth["username"], auth["password"]
        self._challenge: dict[str, str] = {}
        self._count = 0
        self._lock = threading.Lock()

    def challenged(self, challenge: str) -> bool:
        """Take the strongest challenge that we know; a second one for the same nonce means that we are refused."""
        known = [each for each in _challenges(challenge) if _algorithm(each) in _HASHES]
        if not known:
            return False
        best = min(known, key=lambda each: _STRENGTH.index(_algorithm(each)))
        with self._lock:
            fresh = best.get("stale", "").lower() == "true" or best.get("nonce") != self._challenge.get("nonce")
            self._challenge, self._count = best, 0
        return fresh

    def signed(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        with self._lock:
            challenge = self._challenge
            self._count += 1
            count = f"{self._count:08x}"
        if not challenge:
            return {}
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return {"Authorization": self._answer(challenge, method, path, body, count)}

    def _answer(self, challenge: Mapping[str, str], method: str, path: str, body: bytes, count: str) -> str:
        def digest(text: str | bytes) -> str:
            data = text.encode() if isinstance(text, str) else text
            return hashlib.new(_HASHES[_algorithm(challenge)], data, usedforsecurity=False).hexdigest()

        realm, nonce, ours = challenge.get("realm", ""), challenge.get("nonce", ""), secrets.token_hex(16)
        offered = {each.strip() for each in challenge.get("qop", "").split(",")}
        quality = next((each for each in ("auth", "auth-int") if each in offered), "")
        first = digest(f"{self._user}:{realm}:{self._password}")
        if challenge.get("algorithm", "").lower().endswith("-sess"):
            first = digest(f"{first}:{nonce}:{ours}")
        second = digest(f"{method}:{path}" + (f":{digest(body)}" if quality == "auth-int" else ""))
        middle = f"{nonce}:{count}:{ours}:{quality}" if quality else nonce
        said = {
            "username": _quoted(self._user),
            "realm": _quoted(realm),
            "nonce": _quoted(nonce),
            "uri": _quoted(path),
            "response": _quoted(digest(f"{first}:{middle}:{second}")),
        }
        for name in ("algorithm", "opaque"):
            if name in challenge:
                said[name] = challenge[name] if name == "algorithm" else _quoted(challenge[name])
        if quality:
            said |= {"qop": quality, "nc": count, "cnonce": _quoted(ours)}
        return "Digest " + ", ".join(f"{name}={value}" for name, value in said.items())


def _algorithm(challenge: Mapping[str, str]) -> str:
    return challenge.get("algorithm", "MD5").upper().removesuffix("-SESS")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _challenges(header: str) -> list[dict[str, str]]:
    """Take the Digest challenges out of a `WWW-Authenticate`, which may hold several."""
    found = []
    for part in re.split(r"(?i)(?:^|,)\s*digest\s+", header)[1:]:
        params = {name.lower(): quoted or plain for name, quoted, plain in _PARAM.findall(part[:4096])}
        found.append({name: re.sub(r"\\(.)", r"\1", value) for name, value in params.items()})
    return found
