"""Header names that belong to the transport and to authentication, not to data."""

from __future__ import annotations

# The transport writes these itself; set by hand they could smuggle a second request or name another host.
FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Data must not choose who we are: these come from an integration's `auth` only.
IDENTITY = frozenset({"authorization", "cookie"})
