"""AWS Signature Version 4, as S3 and its like verify it. Source: AWS, "Authenticating Requests: Using the Authorization Header"."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

EMPTY = hashlib.sha256(b"").hexdigest()
_UNRESERVED = "-._~"


def encoded(text: str, *, slash: bool = False) -> str:
    """Write a text as a path or query is signed; `slash` leaves `/` as it is."""
    return quote(text, safe=_UNRESERVED + ("/" if slash else ""))


def query_of(params: Mapping[str, str]) -> str:
    """Return the query of a URL, in the order in which it is signed."""
    return "&".join(f"{encoded(name)}={encoded(value)}" for name, value in sorted(params.items()))


def signed(
    method: str,
    host: str,
    path: str,
    params: Mapping[str, str],
    headers: Mapping[str, str],
    body_hash: str,
    *,
    key: tuple[str, str],
    region: str,
    now: datetime,
    service: str = "s3",
) -> dict[str, str]:
    """Return the headers to send: those given (lower case), the date, the body's hash and the signature.

    `path` is encoded, `key` is the id and the secret, `now` is UTC.
    """
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    every = {**headers, "host": host, "x-amz-content-sha256": body_hash, "x-amz-date": stamp}
    names = ";".join(sorted(every))
    lines = "".join(f"{name}:{' '.join(every[name].split())}\n" for name in sorted(every))
    request = "\n".join((method, path, query_of(params), lines, names, body_hash))
    scope = f"{day}/{region}/{service}/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
    secret = f"AWS4{key[1]}".encode()
    for part in (day, region, service, "aws4_request"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    signature = hmac.digest(secret, text.encode(), "sha256").hex()
    shown = f"AWS4-HMAC-SHA256 Credential={key[0]}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**{name: value for name, value in every.items() if name != "host"}, "Authorization": shown}
