"""Takes credentials out of anything that is about to be shown: by the name of a key, and by the look of a text.

A key hides its value when its last word says so (`api_key`, `X-Api-Key`, `accessToken`; not `secret_name`,
`token_prefix`). A text is searched for what looks like a credential whatever its key, so that messages of other
libraries are covered too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

HIDDEN = "[redacted]"
_TEXT_LIMIT = 8192
_ITEM_LIMIT = 200
_DEPTH_LIMIT = 12

_WORDS = (
    "authorization",
    "cookie",
    "cookies",
    "token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "secrets",
    "apikey",
    "privatekey",
    "signingkey",
    "accesskey",
    "keyring",
    "credential",
    "credentials",
    "signature",
    "crossdockkeys",
)
_NOT_A_LETTER = re.compile(r"[^a-z0-9]+")

_NAMES = r"[\w.-]{0,64}(?:token|secret|password|passwd|api[_-]?key|signature|authorization|credential|private[_-]?key)"
_LOOKS: tuple[tuple[re.Pattern[str], str], ...] = (
    # schemes of the Authorization header
    (re.compile(r"\b((?i:Bearer|Basic|Token|ApiKey))\s+(?=\S*[\d=A-Z_])[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {HIDDEN}"),
    # our tokens, keys of Standard Webhooks, and the well-known prefixes of others
    (
        re.compile(
            r"\b(cdk_|whsec_|whsk_|sk_live_|sk_test_|rk_live_|gh[pousr]_|glpat-|xox[abprs]-|shpat_)[\w+/=.-]{6,}"
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), HIDDEN),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*"), HIDDEN),  # JSON web tokens
    (
        re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)"),
        HIDDEN,
    ),
    # the password in the address of a URL
    (re.compile(r"(://[^/\s:@?#]{0,256}:)[^/\s@?#]{1,1024}@"), rf"\1{HIDDEN}@"),
    # name=value as in a query, and "name": "value" as in JSON or a Python repr
    (re.compile(rf"([?&;]{_NAMES}=)[^&#\s\"']+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(rf"([\"']{_NAMES}[\"']\s{{0,8}}:\s{{0,8}}[\"'])(?:[^\"'\\]|\\.)+", re.IGNORECASE), rf"\1{HIDDEN}"),
)
# What every one of them needs somewhere: most texts have none of it, and then one look is enough.
_SIGNS = re.compile(r"[\s=\"'@]|cdk_|whsec_|whsk_|[sr]k_|gh[pousr]_|glpat-|xox|shpat_|AKIA|ASIA|eyJ")


@lru_cache(maxsize=4096)
def hides(key: str) -> bool:
    """Say whether a key of this name holds a credential."""
    return _NOT_A_LETTER.sub("", key.lower()).endswith(_WORDS)


def redact_text(text: str) -> str:
    """Return the text without what looks like a credential, cut at 8 KiB."""
    if len(text) > _TEXT_LIMIT:
        text = f"{text[:_TEXT_LIMIT]}… ({len(text) - _TEXT_LIMIT} more)"
    if _SIGNS.search(text) is None:
        return text
    for look, instead in _LOOKS:
        text = look.sub(instead, text)
    return text


def redact(value: Any, *, depth: int = 0) -> Any:
    """Return a copy of JSON-like data without credentials; deep and long things are cut, anything else becomes text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if depth >= _DEPTH_LIMIT:
        return "…"
    if isinstance(value, Mapping):
        pairs = list(value.items())[:_ITEM_LIMIT]
        return {str(key): _redact_item(str(key), each, depth) for key, each in pairs}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(each, depth=depth + 1) for each in list(value)[:_ITEM_LIMIT]]
    return redact_text(value.decode("latin-1") if isinstance(value, bytes) else str(value))


def _redact_item(key: str, value: Any, depth: int) -> Any:
    if hides(key) and value not in (None, "", True, False):
        return HIDDEN
    return redact(value, depth=depth + 1)
