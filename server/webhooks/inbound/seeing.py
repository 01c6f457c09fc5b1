"""What expressions of an inbound webhook see of a request, and what is kept of it: the same when it comes and when it is mapped.

    request.id .method .path .query.… .received_at .client      headers.x_shopify_topic      params.shop      body.…

Credentials are no data: headers and parameters of the URL that hold one are neither seen nor kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from server.kernel.clock import rfc3339
from server.kernel.ids import show
from server.sdk.headers import FRAMING
from server.telemetry.redaction import hides
from server.webhooks.inbound.parsing import fields_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from uuid import UUID

ID_PREFIX = "req"
MOST_KEPT = 32 * 1024
_PROOFS = ("signature", "hmac", "client-cert", "transmission-sig", "jwt", "assertion")
"""Parts of names of headers that prove who sent a request: with one of them and its body the request could be sent again."""
_NEVER = FRAMING | {"authorization", "cookie", "content-encoding", "content-length", "forwarded", "x-real-ip"}


@lru_cache(4096)
def _kept(name: str) -> bool:
    proves = hides(name) or any(each in name for each in _PROOFS)
    return name not in _NEVER and not name.startswith("x-forwarded-") and not proves


def kept_headers(headers: Mapping[str, str], proof: Collection[str] = ()) -> dict[str, str]:
    """Return the headers that are kept: none with a credential, none of the connection's, 32 KiB in all; `proof` are the scheme's."""
    kept: dict[str, str] = {}
    room = MOST_KEPT
    for name, value in headers.items():
        if _kept(name) and name not in proof:
            room -= len(name) + len(value)
            if room < 0:
                break
            kept[name] = value
    return kept


def kept_query(query: str, proof: Collection[str] = ()) -> str:
    """Return the query without the parameters that hold a credential."""
    if not query:
        return ""
    pairs = query.split("&")
    return "&".join(each for each in pairs if not _secret(each.partition("=")[0], proof))


def _secret(name: str, proof: Collection[str]) -> bool:
    return name in proof or "%" in name or hides(name)


def scope_of(
    *,
    request_id: UUID,
    received_at: datetime,
    method: str,
    path: str,
    query: str,
    client: str,
    params: Mapping[str, str],
    headers: Mapping[str, str],
    body: Any,
) -> dict[str, Any]:
    """Return the names that expressions start with; `query` and `headers` are those kept, `body` is parsed.

    Raises:
        Malformed: the query is none.

    """
    request = {
        "id": show(ID_PREFIX, request_id),
        "method": method,
        "path": path,
        "query": fields_of(query) if query else {},
        "received_at": rfc3339(received_at),
        "client": client,
    }
    named = {name.replace("-", "_"): value for name, value in headers.items()}
    return {"request": request, "headers": named, "params": params, "body": body}
