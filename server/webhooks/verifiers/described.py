"""`hmac`: any HMAC, described; and what the named schemes of that form (GitHub, Shopify, Slack) are made with."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from server.documents.fields import Field
from server.documents.nodes import MappingNode, ScalarNode
from server.documents.scalars import Duration
from server.kernel.errors import Invalid, code
from server.sdk.signing_schemes import ID_HEADER, TIMESTAMP_HEADER, HmacScheme, HmacVerifier, described, read_template
from server.webhooks.inbound.arrived import Verified
from server.webhooks.signing import described_fields
from server.webhooks.verifiers.fields import DEFAULT_TOLERANCE, KEY, SenderHeader
from server.webhooks.verifiers.reading import NoHandshake, header, message_id, refused
from server.webhooks.verifiers.scheme import Scheme, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.documents.checking import Checker
    from server.webhooks.inbound.arrived import Arrived
    from server.webhooks.verifiers.scheme import Fetch

TIMESTAMP_UNSIGNED = code(
    "TIMESTAMP_UNSIGNED",
    "The timestamp is not part of what is signed, so whoever repeats a request can write a new one.",
)
SIGNED_AMBIGUOUS = code(
    "SIGNED_AMBIGUOUS",
    "Two parts of what is signed touch each other, so bytes can be moved from one to the other under the same signature.",
)
_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")


class HmacRequests(NoHandshake):
    """Verifies requests by a described scheme; `id_header` names the message for logs where the scheme signs no id.

    Raises:
        Invalid: KEY_INVALID.

    """

    __slots__ = ("_id", "_id_header", "_read", "_scheme", "_timed", "_verifier")

    def __init__(self, scheme: HmacScheme, keys: Sequence[str], id_header: str = "") -> None:
        self._scheme = scheme
        self._verifier = HmacVerifier(scheme, keys)
        signed = {each for each in scheme.parts if isinstance(each, str)}
        declared = {each.lower() for each in (scheme.timestamp, scheme.id) if each}
        self._read = sorted({scheme.header.lower(), *signed, *declared})
        self._id = id_ if (id_ := (scheme.id or ID_HEADER).lower()) in signed else ""
        self._timed = bool(scheme.timestamp) and (scheme.timestamp or "").lower() in signed
        self._id_header = (scheme.id or "").lower() or id_header

    def verify(self, request: Arrived, now: float) -> Verified:
        """See `Verify`."""
        for name in self._read:
            header(request, name)
        if self._id and not _SAFE_ID.fullmatch(request.headers.get(self._id, "")):
            # another alphabet could move a part of the id into what follows it
            raise refused("id")
        self._verifier.verify(request.headers, request.body, now)
        if self._id:
            id_ = request.headers[self._id]
            return Verified(id_, f"id:{id_}")
        digest = self._scheme.read(request.headers[self._scheme.header.lower()])
        key = f"signature:{digest.hex()}" if self._timed and digest else None
        return Verified(message_id(request, self._id_header), key)


def _make(declared: Mapping[str, Any], keys: Sequence[str], _fetch: Fetch) -> HmacRequests:
    return HmacRequests(described(declared), keys)


def _rules(node: MappingNode, checker: Checker) -> None:
    """Warn of descriptions that a sender may well have, but that prove less than they seem to."""
    signed, timestamp = node.get("signed"), node.get("timestamp")
    if not isinstance(signed, ScalarNode):
        return
    try:
        parts = read_template(str(signed.value))
    except Invalid:
        return
    names = _headers(node, parts)
    if isinstance(timestamp, MappingNode) and (name := timestamp.text("header")) and name.lower() not in names:
        checker.warning(TIMESTAMP_UNSIGNED, timestamp, f"{name} is not signed: a request can be repeated with another")
    for one, other in pairwise(parts):
        if "text" not in (one[0], other[0]):
            message = f"{_written(one)} and {_written(other)} touch each other: what stands in one could be moved"
            checker.warning(SIGNED_AMBIGUOUS, signed, message)


def _headers(node: MappingNode, parts: Sequence[tuple[str, str]]) -> set[str]:
    """Return the lower-case names of the headers that are signed."""
    named = {"timestamp": TIMESTAMP_HEADER, "id": ID_HEADER}
    for place, known in tuple(named.items()):
        inner = node.get(place)
        if isinstance(inner, MappingNode):
            named[place] = inner.text("header") or known
    signed = {named[value] for kind, value in parts if kind == "place" and value in named}
    return {each.lower() for each in signed | {value for kind, value in parts if kind == "header"}}


def _written(part: tuple[str, str]) -> str:
    return f"{{header:{part[1]}}}" if part[0] == "header" else f"{{{part[1]}}}"


_TIMESTAMP = (
    Field("tolerance", Duration("1s", "1d"), "`hmac`: how far it may be from now.", default=DEFAULT_TOLERANCE),
)


def slack_example() -> dict[str, Any]:
    """Return the request that Slack documents."""
    return {
        "method": "POST",
        "path": "in",
        "headers": {
            "x-slack-request-timestamp": "1531420618",
            "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        "body": b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
    }


SCHEME = Scheme(
    name="hmac",
    about="any HMAC, described: header, algorithm, encoding, what is signed",
    fields=(KEY, *described_fields(timestamp=_TIMESTAMP, name=SenderHeader())),
    make=_make,
    rules=(_rules,),
    vectors=(
        Vector(
            about="Slack's documented example, described",
            source="Slack, Verifying requests from Slack",
            declared={
                "scheme": "hmac",
                "header": "X-Slack-Signature",
                "signed": "v0:{timestamp}:{body}",
                "prefix": "v0=",
                "timestamp": {"header": "X-Slack-Request-Timestamp", "tolerance": "5m"},
            },
            keys=["8f742231b10e8888abcd99yyyzzz85a5"],
            request=slack_example(),
            now=1531420618,
        ),
        Vector(
            about="GitHub's documented example, described",
            source="GitHub, Validating webhook deliveries",
            declared={"scheme": "hmac", "header": "X-Hub-Signature-256", "signed": "{body}", "prefix": "sha256="},
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
