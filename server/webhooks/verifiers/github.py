"""`github`: `X-Hub-Signature-256`, hexadecimal HMAC-SHA256 of the body. No timestamp, and the delivery's id is not signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.sdk.signing_schemes import GITHUB
from server.webhooks.verifiers.described import HmacRequests
from server.webhooks.verifiers.fields import KEY
from server.webhooks.verifiers.scheme import Scheme, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.webhooks.verifiers.scheme import Fetch


def _make(_declared: Mapping[str, Any], keys: Sequence[str], _fetch: Fetch) -> HmacRequests:
    return HmacRequests(GITHUB, keys, "x-github-delivery")


SCHEME = Scheme(
    name="github",
    about="`X-Hub-Signature-256`, as GitHub, Gitea and Forgejo sign",
    fields=(KEY,),
    make=_make,
    vectors=(
        Vector(
            about="the documented example",
            source="GitHub, Validating webhook deliveries: Testing the webhook payload validation",
            keys=["It's a Secret to Everybody"],
            request={
                "method": "POST",
                "path": "in",
                "headers": {
                    "x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
                },
                "body": b"Hello, World!",
            },
            now=0,
        ),
    ),
)
