"""`slack`: `X-Slack-Signature` over `v0:{timestamp}:{body}`, and the challenge by which Slack asks for a new URL."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from server.kernel.policies import parse_duration
from server.sdk.signing_schemes import SLACK
from server.webhooks.inbound.arrived import Reply
from server.webhooks.verifiers.described import HmacRequests, slack_example
from server.webhooks.verifiers.fields import DEFAULT_TOLERANCE, KEY, TOLERANCE
from server.webhooks.verifiers.scheme import Scheme, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.webhooks.inbound.arrived import Arrived
    from server.webhooks.verifiers.scheme import Fetch

_LONGEST = 4096


class SlackRequests(HmacRequests):
    """Slack's requests. The challenge is signed like all of them, so it is answered after `verify` only."""

    __slots__ = ()

    def handshake(self, request: Arrived) -> Reply | None:
        """Return the challenge of a `url_verification`; other methods come here unverified, and get none."""
        if request.method != "POST" or len(request.body) > _LONGEST or b"url_verification" not in request.body:
            return None
        try:
            said = json.loads(request.body)
        except (ValueError, RecursionError):
            return None  # no JSON: an event like any other, for the parser to refuse
        if not isinstance(said, dict) or said.get("type") != "url_verification":
            return None
        challenge = said.get("challenge")
        if not isinstance(challenge, str):
            return None
        return Reply(200, challenge.encode("utf-8", "replace"))


def _make(declared: Mapping[str, Any], keys: Sequence[str], _fetch: Fetch) -> SlackRequests:
    return SlackRequests(replace(SLACK, tolerance=parse_duration(declared.get("tolerance", DEFAULT_TOLERANCE))), keys)


SCHEME = Scheme(
    name="slack",
    about="`X-Slack-Signature`, with the answer to Slack's `url_verification`",
    fields=(KEY, TOLERANCE),
    make=_make,
    vectors=(
        Vector(
            about="the documented example",
            source="Slack, Verifying requests from Slack",
            keys=["8f742231b10e8888abcd99yyyzzz85a5"],
            request=slack_example(),
            now=1531420618,
        ),
    ),
)
