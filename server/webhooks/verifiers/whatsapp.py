"""`whatsapp`: Meta's `X-Hub-Signature-256`, and the `GET` by which Meta asks for a new URL (WhatsApp, Messenger, Instagram)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from server.documents.fields import Field
from server.documents.values import SECRET_ONLY
from server.sdk.signing_schemes import GITHUB
from server.webhooks.inbound.arrived import Reply
from server.webhooks.verifiers.described import HmacRequests
from server.webhooks.verifiers.fields import key_field
from server.webhooks.verifiers.reading import Shared, parameter, refused
from server.webhooks.verifiers.scheme import Scheme, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.webhooks.inbound.arrived import Arrived
    from server.webhooks.verifiers.scheme import Fetch

_CHALLENGE = re.compile(rb"[A-Za-z0-9_.-]{1,256}")


class MetaRequests(HmacRequests):
    """Meta's requests: signed as GitHub's are, with the app secret.

    Raises:
        Invalid: KEY_INVALID.

    """

    __slots__ = ("_token",)

    def __init__(self, keys: Sequence[str], verify_token: str) -> None:
        super().__init__(GITHUB, keys)
        self._token = Shared([verify_token.encode()])

    def handshake(self, request: Arrived) -> Reply | None:
        """Return the challenge to who knows the token. Anything but plain letters and digits is not sent back."""
        if request.method != "GET" or "hub." not in request.query:
            return None
        known = self._token.fits(parameter(request.query, "hub.verify_token"))
        challenge = parameter(request.query, "hub.challenge")
        if not known or parameter(request.query, "hub.mode") != b"subscribe" or not _CHALLENGE.fullmatch(challenge):
            raise refused("challenge")
        return Reply(200, challenge)


def _make(declared: Mapping[str, Any], keys: Sequence[str], _fetch: Fetch) -> MetaRequests:
    return MetaRequests(keys, declared["verify_token"])


SCHEME = Scheme(
    name="whatsapp",
    about="`X-Hub-Signature-256` by Meta's app secret, with the answer to `hub.challenge`",
    fields=(
        key_field("`whatsapp`: the app secret."),
        Field(
            "verify_token",
            SECRET_ONLY,
            "`whatsapp`: the token that Meta shows once, with the challenge.",
            required=True,
        ),
    ),
    make=_make,
    methods=frozenset({"GET"}),
    vectors=(
        Vector(
            about="GitHub's documented example: the same header and content",
            source="GitHub, Validating webhook deliveries",
            declared={"verify_token": "meatyhamhock"},
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
