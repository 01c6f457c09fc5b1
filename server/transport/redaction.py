"""What must never be stored, logged or shown of an exchange: credentials in its headers and URL.

How a text or a key gives a credential away is said in `telemetry.redaction`; here stand the names that hold one only
in a header or a query (`?key=…`, `?sig=…`, `X-Auth`).
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus

from server.telemetry.redaction import HIDDEN, hides, redact_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LAST_WORDS = frozenset(
    "assertion auth bearer hmac jwt key otp pass pwd sas session sessionid sid sig".split()  # noqa: SIM905 - reads better
)
_PLAIN = frozenset({"idempotency-key", "idempotency_key"})
_WORD = re.compile(r"[^a-z0-9]+")
# each starts where a word starts and gives nothing back, so that a long text costs no more than its length
_USERINFO = re.compile(r"(?i)(?<![a-z0-9+.-])([a-z][a-z0-9+.-]{0,31}+://)[^\s/?#@]*+@")
_PAIR = re.compile(r"(?<![^?&;#=\s])([^?&;#=\s]++)=([^&;#\s]*+)")
_SHORTEST_SECRET = 4
_KEPT_LENGTH = 256


def is_secret_name(name: str) -> bool:
    """Say whether a header or parameter of this name carries a credential."""
    lower = name.lower()
    if lower in _PLAIN:
        return False
    words = [word for word in _WORD.split(lower) if word and not word.isdigit()]  # X-Hub-Signature-256
    return hides("".join(words)) or not _LAST_WORDS.isdisjoint(words[-1:])


def redact_headers(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the headers with every credential's value replaced; values of a header that comes twice are joined."""
    pairs = headers.items() if hasattr(headers, "items") else headers
    shown: dict[str, str] = {}
    for name, value in pairs:
        key, safe = _redact_header(str(name), value)
        shown[key] = f"{shown[key]}, {safe}" if key in shown else safe
    return shown


def _redact_header(name: str, value: str) -> tuple[str, str]:
    key, hidden = _header_name(name)
    if hidden:
        return key, HIDDEN
    return key, _header_value(value) if len(value) <= _KEPT_LENGTH else _as_text(redact_text(value))


@lru_cache(maxsize=1024)
def _header_name(name: str) -> tuple[str, bool]:
    return _as_text(name), is_secret_name(name)


@lru_cache(maxsize=4096)
def _header_value(value: str) -> str:
    """Return a value as it is shown; most come again and again."""
    return _as_text(redact_text(value))


def _as_text(value: str) -> str:
    """Return a text that can be stored: bytes that are no UTF-8 come out of HTTP parsers as lone surrogates."""
    return value.encode("utf-8", "replace").decode()


def redact_url(url: str) -> str:
    """Return the URL without user info and without the values of secret parameters, in query and fragment."""
    return _PAIR.sub(_redact_pair, _USERINFO.sub(rf"\g<1>{HIDDEN}@", url))


def _redact_pair(pair: re.Match[str]) -> str:
    return f"{pair[1]}={HIDDEN}" if is_secret_name(unquote_plus(pair[1])) else pair[0]


def redact_secrets(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text without the given secrets and without what looks like one."""
    return redact_url(redact_text(_hide_text(text, _written(secrets))))


def hide(value: Any, secrets: Iterable[str]) -> Any:
    """Return JSON without the given secrets; all else stays as it is, since it is data. For what may echo them."""
    written = _written(secrets)
    return _hide(value, written) if written else value


def hide_bytes(content: bytes, secrets: Iterable[str]) -> bytes:
    """Return an answer's body without the given secrets."""
    for each in _written(secrets):
        content = content.replace(each.encode(), HIDDEN.encode())
    return content


def _written(secrets: Iterable[str]) -> tuple[str, ...]:
    return _ways(tuple(secrets))


@lru_cache(maxsize=16_384)  # as many as webhooks at work: each has secrets of its own
def _ways(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """Return each secret as it is, as JSON writes it, and percent-encoded; the longest first."""
    known = {each for each in secrets if len(each) >= _SHORTEST_SECRET}
    ways = known | {json.dumps(each)[1:-1] for each in known} | {quote(each, safe="") for each in known}
    return tuple(sorted(ways, key=len, reverse=True))


def _hide(value: Any, written: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return _hide_text(value, written)
    if isinstance(value, dict):
        return {_hide_text(key, written): _hide(each, written) for key, each in value.items()}
    if isinstance(value, list):
        return [_hide(each, written) for each in value]
    return value


def _hide_text(text: str, written: tuple[str, ...]) -> str:
    for each in written:
        text = text.replace(each, HIDDEN)
    return text
