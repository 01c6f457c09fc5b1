"""`telegram`: the `secret_token` of setWebhook, as it is, in `X-Telegram-Bot-Api-Secret-Token`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from server.webhooks.verifiers.api_key import KeyedRequests
from server.webhooks.verifiers.fields import KEY
from server.webhooks.verifiers.reading import bad_key
from server.webhooks.verifiers.scheme import Scheme, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.webhooks.verifiers.scheme import Fetch

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}")


def _make(_declared: Mapping[str, Any], keys: Sequence[str], _fetch: Fetch) -> KeyedRequests:
    if not all(_TOKEN.fullmatch(each) for each in keys):
        raise bad_key("Telegram takes tokens of 1 to 256 letters, digits, hyphens and underscores only")
    return KeyedRequests(keys, header="x-telegram-bot-api-secret-token")


SCHEME = Scheme(
    name="telegram",
    about="the `secret_token` in `X-Telegram-Bot-Api-Secret-Token`",
    fields=(KEY,),
    make=_make,
    covers_body=False,
    vectors=(
        Vector(
            about="an update",
            source="Telegram Bot API, setWebhook",
            keys=["the-token_of-setWebhook"],
            request={
                "method": "POST",
                "path": "in",
                "headers": {"x-telegram-bot-api-secret-token": "the-token_of-setWebhook"},
                "body": b'{"update_id": 10000}',
            },
            now=0,
        ),
    ),
)
