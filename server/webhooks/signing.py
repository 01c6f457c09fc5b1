"""The `sign` of a webhook: its fields, its rules, what its requests look like, and the keys that others may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.documents.fields import CONTRADICTION, WRONG_VALUE, Field, FieldType, ListOf, Object, OneOf
from server.documents.findings import shown
from server.documents.header_names import OURS, HeaderName
from server.documents.nodes import ListNode, MappingNode, ScalarNode
from server.documents.scalars import Choice, Text, refuse_credential, text_of
from server.documents.values import SECRET_ONLY
from server.documents.variants import variants
from server.kernel.errors import Invalid, code
from server.sdk.signing import KEY_INVALID
from server.sdk.signing_schemes import (
    ALGORITHMS,
    DESCRIBED,
    ENCODINGS,
    KEY_ENCODINGS,
    ONE_SIGNATURE,
    STANDARD,
    STANDARD_ASYMMETRIC,
    STRIPE,
    described,
    read_template,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.documents.checking import Checker
    from server.documents.nodes import Node

KEY_UNUSED = code("KEY_UNUSED", "The scheme's header has room for one signature: only the first key of the list signs.")
_LONGEST_TEMPLATE = 500


@dataclass(frozen=True)
class SignedText(FieldType):
    """What is signed, as a template over raw bytes."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check that every placeholder is known and that the body is signed."""
        text = text_of(node, checker, "what is signed, like {timestamp}.{body},")
        if text is None or refuse_credential(node, None, checker):
            return
        if len(text) > _LONGEST_TEMPLATE:
            checker.error(WRONG_VALUE, node, f"{_LONGEST_TEMPLATE} characters are taken at most")
            return
        try:
            read_template(text)
        except Invalid as refusal:
            checker.error(refusal.code, node, refusal.message)

    def schema(self) -> dict[str, Any]:
        """Return the schema of the text."""
        return {"type": "string", "maxLength": _LONGEST_TEMPLATE}

    def label(self) -> str:
        """Return `text with placeholders`."""
        return "text with placeholders"


KEY = Field(
    "key",
    OneOf((SECRET_ONLY, ListOf(SECRET_ONLY, 1, 5))),
    "The secret, or several while the receiver changes over, the newest first: each signs where the scheme has room"
    " (standard-webhooks, stripe), else the first alone.",
    required=True,
)


def described_fields(timestamp: tuple[Field, ...] = (), name: FieldType | None = None) -> tuple[Field, ...]:
    """Return the fields that describe an HMAC; for what comes in with more of `timestamp`, and `name`, its type of headers."""
    named = name or HeaderName()
    header = Field("header", named, "The header that holds it.", required=True)
    return (
        Field("header", named, "`hmac`: the header that holds the signature.", required=True),
        Field(
            "signed",
            SignedText(),
            "`hmac`: what is signed, bytes as they are sent: text with `{body}` and, where wanted, `{id}`, `{timestamp}` and"
            " `{header:NAME}`.",
            required=True,
            example='"{timestamp}.{body}"',
        ),
        Field("algorithm", Choice(ALGORITHMS), "`hmac`: the hash.", default="sha256"),
        Field(
            "encoding", Choice(ENCODINGS), "`hmac`: how the signature is written; base64url unpadded.", default="hex"
        ),
        Field("prefix", Text(50), "`hmac`: what stands before the signature, like `sha256=`."),
        Field(
            "key_encoding",
            Choice(KEY_ENCODINGS),
            "`hmac`: how the secret holds the key: as text, or as bytes in hex or base64.",
            default="text",
        ),
        Field(
            "timestamp",
            Object((header, *timestamp), name="timestamp"),
            "`hmac`: where `{timestamp}`, in seconds since 1970, is sent; `webhook-timestamp` by default.",
        ),
        Field(
            "id",
            Object((header,), name="id"),
            "`hmac`: where `{id}` is sent; `webhook-id` by default.",
        ),
    )


SIGN = variants(
    "scheme",
    "How requests are signed: `standard-webhooks` (`v1` by a whsec_ key, `v1a` by a whsk_ key, both with one of each in"
    " `key`), `standard-webhooks-v1a` (whsk_ keys only), as GitHub, Stripe or Slack do, or by an `hmac` described here.",
    {
        STANDARD: (KEY,),
        STANDARD_ASYMMETRIC: (KEY,),
        "github": (KEY,),
        STRIPE: (KEY,),
        "slack": (KEY,),
        DESCRIBED: (KEY, *described_fields()),
    },
    "sign",
)


def written_by(sign: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that a checked `sign` adds, with placeholders for values: what `test` shows, without a secret."""
    if sign["scheme"] in (STANDARD, STANDARD_ASYMMETRIC):
        keys = sign["key"] if isinstance(sign["key"], list) else [sign["key"]]
        version = "v1a" if sign["scheme"] == STANDARD_ASYMMETRIC else "v1"
        return {"webhook-signature": " ".join(f"{version},<signature>" for _ in keys)}
    if sign["scheme"] == STRIPE:
        return {"Stripe-Signature": "t=<timestamp>,v1=<signature>"}
    scheme = described(sign)
    added = {scheme.timestamp: "<timestamp>"} if scheme.timestamp else {}
    if scheme.id:
        added[scheme.id] = "<id>"
    return added | {scheme.header: f"{scheme.prefix}<signature>"}


def of_secrets(error: Invalid, names: Sequence[str]) -> Invalid:
    """Say which secrets a key is of; the message never holds the key."""
    if error.code != KEY_INVALID:
        return error
    return Invalid(f"the secret {' or '.join(names)}: {error.message}", code=error.code, source=error.source)


def check_signing(root: MappingNode, headers: Mapping[str, ScalarNode], checker: Checker) -> None:
    """Check `sign` against the webhook: `headers` are those of `request`, by lower-case name, with their keys' nodes."""
    sign = root.get("sign")
    scheme = sign.text("scheme") if isinstance(sign, MappingNode) else None
    if not isinstance(sign, MappingNode) or scheme is None:
        return
    keys = sign.get("key")
    if isinstance(keys, ListNode) and len(keys.items) > 1 and scheme in ONE_SIGNATURE:
        checker.warning(KEY_UNUSED, keys.items[1], f"{scheme} has room for one signature: the first key signs alone")
    for name in _names_of(sign, scheme):
        if name.lower() in headers:
            checker.error(CONTRADICTION, headers[name.lower()], f"the header {shown(name)} is written by the signature")
    signed = sign.get("signed")
    alone = root.get("url") is not None and root.get("auth") is None
    if scheme == DESCRIBED and alone and isinstance(signed, ScalarNode):
        _check_signed_headers(sign, signed, headers, checker)


def _names_of(sign: MappingNode, scheme: str) -> list[str]:
    """Return the headers that the signature is sent in, as far as they are written."""
    if scheme != DESCRIBED:
        return list(written_by({"scheme": scheme, "key": []})) if scheme in _NAMES_KNOWN else []
    return [name for each in (sign, *_places(sign)) if (name := each.text("header"))]


def _places(sign: MappingNode) -> list[MappingNode]:
    return [each for name in ("timestamp", "id") if isinstance(each := sign.get(name), MappingNode)]


_NAMES_KNOWN = frozenset({STANDARD, STANDARD_ASYMMETRIC, STRIPE, "github", "slack"})


def _check_signed_headers(
    sign: MappingNode, signed: ScalarNode, headers: Mapping[str, ScalarNode], checker: Checker
) -> None:
    """Refuse to sign a header that no request to this URL has; an integration may have headers of its own."""
    try:
        parts = read_template(str(signed.value))
    except Invalid:
        return
    known = {*headers, *OURS, *(str(each.text("header")).lower() for each in _places(sign))}
    for kind, name in parts:
        if kind == "header" and name.lower() not in known:
            checker.error(WRONG_VALUE, signed, f"the header {shown(name)} is signed, but no request has it")
