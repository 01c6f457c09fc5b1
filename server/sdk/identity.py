"""Who we are to another system, as far as its declaration alone tells: bearer, basic, and API keys.

`oauth2`, `jwt`, `session`, `hmac`, `digest` and client certificates need the server: an adapter that hands its `auth` on in
`endpoint(config)` gets a session that shows them, and 401 makes it get a new token once.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Identity:
    """What every request carries; `secrets` are the values in it that are not to be shown."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


def identity_of(auth: Mapping[str, Any] | None) -> Identity:
    """Return what a declaration with its secrets filled in adds to every request; nothing where the server must help."""
    match auth:
        case {"scheme": "bearer", "token": token}:
            return Identity({"Authorization": f"Bearer {token}"}, secrets=(token,))
        case {"scheme": "basic", "username": username, "password": password}:
            pair = base64.b64encode(f"{username}:{password}".encode()).decode()
            return Identity({"Authorization": f"Basic {pair}"}, secrets=(password, pair))
        case {"scheme": "api_key", "query": name, "key": key}:
            return Identity(query={name: key}, secrets=(key,))
        case {"scheme": "api_key", "cookie_name": name, "key": key}:
            return Identity({"Cookie": f"{name}={key}"}, secrets=(key,))
        case {"scheme": "api_key", "header": name, "key": key}:
            return Identity({name: key}, secrets=(key,))
    return Identity()
