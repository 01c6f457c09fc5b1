"""Does a literal look like a credential? Known forms, telling names of keys, texts that only a machine writes."""

from __future__ import annotations

import math
import re
from collections import Counter

_KNOWN = (
    ("a Standard Webhooks key", r"wh(?:sec|sk)_[A-Za-z0-9+/=_-]{8,}"),
    ("a Stripe key", r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{8,}"),
    ("a GitHub token", r"gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}"),
    ("a GitLab token", r"glpat-[A-Za-z0-9_-]{16,}"),
    ("a Slack token", r"xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}"),
    ("a Slack webhook URL", r"https://hooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/[A-Za-z0-9]{10,}"),
    ("an AWS access key", r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9])"),
    ("a Google API key", r"AIza[A-Za-z0-9_-]{30,}"),
    ("a SendGrid key", r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    ("an API key", r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{20,}"),
    ("a Shopify token", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{16,}"),
    ("an npm token", r"npm_[A-Za-z0-9]{30,}"),
    ("a JSON Web Token", r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    ("a private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    ("an authorization header", r"(?i)(?<![a-z])(?:bearer|basic)\s+(?!\{\{)[A-Za-z0-9+/=._~-]{8,}"),
    ("a URL with a password", r"(?i)[a-z][a-z0-9+.-]*://[^\s/?#@:]*:[^\s/?#@]+@"),
    (
        "a URL with a credential in its query",
        r"(?i)[?&](?:api[_-]?key|access[_-]?token|token|secret|password|signature|sig)=(?!\{\{)[^&\s#]{4,}",
    ),
)
_KNOWN_FORM = re.compile(
    "|".join(f"(?P<k{number}>{pattern.replace('(?i)', '')})" for number, (_, pattern) in enumerate(_KNOWN))
)
_ANY_CASE = tuple((about, re.compile(pattern)) for about, pattern in _KNOWN if pattern.startswith("(?i)"))
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_TELLING = re.compile(
    r"(?:.*_)?(?:password|passwd|pwd|passphrase|secret|token|credentials?|authorization|apikey"
    r"|(?:api|access|secret|private|signing|encryption|auth|shared|account|subscription|master|service|license)_key)"
    r"|key|cookie|set_cookie"
)
_NOT_TELLING = re.compile(r"(?:.*_)?(?:page|next|continuation|sync|csrf|cancel)_token")
_TOKEN = re.compile(r"[A-Za-z0-9+/=_-]{24,512}")
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{32,}")
_SHORTEST_HEX_BITS = 3.0
_TOKEN_BITS = 4.0
_LONGEST = 20_000


def is_telling(key: str) -> bool:
    """Say whether a key's name tells that its value is a credential: `password`, `apiKey`, `X-Auth-Token`, …"""
    folded = re.sub(r"[-.\s]", "_", _CAMEL.sub("_", key[:200])).lower()
    return bool(_TELLING.fullmatch(folded)) and not _NOT_TELLING.fullmatch(folded)


def known_credential(text: str) -> str | None:
    """Return what kind of credential of a known form is in the text, or None."""
    text = text[:_LONGEST]
    match = _KNOWN_FORM.search(text)
    if match and match.lastgroup:
        return _KNOWN[int(match.lastgroup[1:])][0]
    return next((about for about, pattern in _ANY_CASE if pattern.search(text)), None)


def credential_in(value: object, key: str | None) -> str | None:
    """Return why a literal looks like a credential, or None; `key` is the name that it stands under, if any."""
    if not isinstance(value, str):
        named = isinstance(value, int) and not isinstance(value, bool) and key is not None and is_telling(key)
        return f'the value of "{key}" looks like a credential' if named else None
    known = known_credential(value)
    if known:
        return f"this looks like {known}"
    if key is not None and value and "{{" not in value and is_telling(key):
        return f'the value of "{key}" looks like a credential'
    if any(_random(word) for word in _TOKEN.findall(value[:_LONGEST])):
        return "this looks like a random key"
    return None


def _random(word: str) -> bool:
    """Say whether a word has the mixture of a generated key: letters of both cases and digits, evenly spread."""
    if _HEXADECIMAL.fullmatch(word):
        return _bits(word) > _SHORTEST_HEX_BITS and bool(re.search("[0-9]", word)) and bool(re.search("[a-fA-F]", word))
    mixed = all(re.search(letters, word) for letters in ("[a-z]", "[A-Z]", "[0-9]"))
    return mixed and _bits(word) > _TOKEN_BITS and not _made_of_words(word)


def _made_of_words(word: str) -> bool:
    """Say whether separators cut it into short parts, as names and paths are: `Order-2026-Final_Version2`."""
    return max(len(part) for part in re.split(r"[-_/+=]", word)) < 16  # noqa: PLR2004 - the shortest of generated parts


def _bits(word: str) -> float:
    counts = Counter(word)
    return -sum(count / len(word) * math.log2(count / len(word)) for count in counts.values())
