"""From an integration's config to the way to its API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.http.asking import origin_of
from plugins.http.sending import Wire
from server.sdk import Endpoint, identity_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.sdk import Context


def endpoint_of(config: Mapping[str, Any]) -> Endpoint:
    """Return the base URL with the headers and parameters that every request of this integration carries."""
    auth = config.get("auth")
    shown = identity_of(auth)
    headers = {**config.get("headers", {}), **shown.headers}
    calls_only = auth is not None and auth["scheme"] in ("hmac", "digest")
    return Endpoint(
        base_url=config["base_url"].rstrip("/"), headers=headers, query=shown.query, auth=auth, webhooks=not calls_only
    )


def wire_of(context: Context, options: Mapping[str, Any]) -> Wire:
    """Return the way to the API of the context's integration."""
    return Wire(context, endpoint_of(context.config), frozenset(map(origin_of, options.get("origins", ()))))
