"""Hashes and encodings of texts, which are UTF-8 underneath."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from server.mapping.decimals import parse_number
from server.mapping.errors import BUDGET, Refused
from server.mapping.values import encoded

from .base import Library

if TYPE_CHECKING:
    from server.mapping.budget import Budget

ENCODING = Library()
_NAMESPACES = {"dns": uuid.NAMESPACE_DNS, "url": uuid.NAMESPACE_URL, "oid": uuid.NAMESPACE_OID}


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Refused("the text holds half a character (a lone surrogate)", value=text) from error


@ENCODING.add(
    "sha256(text: text) -> text",
    "SHA-256 in hexadecimal.",
    ("sha256('abc')", {}, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    cost=20,
)
def _sha256(budget: Budget, text: str) -> str:
    budget.spend(len(text) >> 3)
    return hashlib.sha256(_bytes(text)).hexdigest()


@ENCODING.add(
    "sha512(text: text) -> text",
    "SHA-512 in hexadecimal.",
    ("truncate(sha512('abc'), 16)", {}, "ddaf35a193617aba"),
    cost=20,
)
def _sha512(budget: Budget, text: str) -> str:
    budget.spend(len(text) >> 3)
    return hashlib.sha512(_bytes(text)).hexdigest()


@ENCODING.add(
    "crc32(text: text) -> number",
    "CRC-32: a short number for sharing out, no protection.",
    ("crc32('abc')", {}, 891568578),
    cost=10,
)
def _crc32(_: Budget, text: str) -> int:
    return binascii.crc32(_bytes(text))


@ENCODING.add(
    "uuid5(namespace: text, name: text) -> text",
    "The UUID version 5 of a name: the same name, the same UUID. The namespace is a UUID, or `dns`, `url`, `oid`.",
    ("uuid5('url', 'https://example.com/42')", {}, str(uuid.uuid5(uuid.NAMESPACE_URL, "https://example.com/42"))),
    cost=40,
)
def _uuid5(budget: Budget, namespace: str, name: str) -> str:
    budget.spend(len(name) >> 3)
    try:
        space = _NAMESPACES.get(namespace) or uuid.UUID(namespace[:64])
    except ValueError as error:
        raise Refused("the namespace is neither a UUID nor dns, url or oid", value=namespace) from error
    _bytes(name)
    return str(uuid.uuid5(space, name))


@ENCODING.add("base64_encode(text: text) -> text", "Base64 of the text.", ("base64_encode('a?b')", {}, "YT9i"), cost=10)
def _base64_encode(budget: Budget, text: str) -> str:
    budget.grow_text(len(text) * 4)
    return base64.b64encode(_bytes(text)).decode()


@ENCODING.add(
    "base64_decode(text: text) -> text",
    "The text in Base64, standard or URL-safe.",
    ("base64_decode('YT9i')", {}, "a?b"),
    cost=15,
)
def _base64_decode(budget: Budget, text: str) -> str:
    budget.grow_text(len(text) * 2)
    padded = text.strip() + "=" * (-len(text.strip()) % 4)
    try:
        return base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True).decode()
    except ValueError as error:
        raise Refused("the text is not Base64 of UTF-8", value=text) from error


@ENCODING.add(
    "url_encode(text: text) -> text",
    "The text for a path or query of a URL.",
    ("url_encode('a/b c')", {}, "a%2Fb%20c"),
    cost=15,
)
def _url_encode(budget: Budget, text: str) -> str:
    budget.spend(len(text))
    budget.grow_text(len(text) * 6)
    return quote(_bytes(text), safe="")


@ENCODING.add(
    "url_decode(text: text) -> text", "What `url_encode` made of.", ("url_decode('a%2Fb%20c')", {}, "a/b c"), cost=15
)
def _url_decode(budget: Budget, text: str) -> str:
    budget.spend(len(text))
    return unquote(text)


@ENCODING.add(
    "xml_escape(text: text) -> text", "The text for XML or HTML.", ("xml_escape('a<b')", {}, "a&lt;b"), cost=10
)
def _xml_escape(budget: Budget, text: str) -> str:
    budget.grow_text(len(text) * 6)
    return escape(text, {'"': "&quot;"})


@ENCODING.add(
    "json_encode(value: any) -> text",
    "The value as compact JSON, texts in quotes.",
    ("json_encode(a)", {"a": "x"}, '"x"'),
)
def _json_encode(budget: Budget, value: Any) -> str:
    return encoded(value, budget)


@ENCODING.add(
    "json_decode(text: text) -> any", "The value in a JSON text.", ("json_decode(t).a", {"t": '{"a": 1}'}, 1), cost=20
)
def _json_decode(budget: Budget, text: str) -> Any:
    budget.spend(len(text) >> 1)
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except ValueError as error:
        raise Refused("the text is not JSON", value=text) from error
    except RecursionError as error:
        raise Refused("the JSON is nested too deeply", code=BUDGET, value=text) from error


def _finite(text: str) -> Decimal:
    """Read a number with a fraction as event data is read; NaN and Infinity are no JSON, and endless zeros no number."""
    number = parse_number(text)
    if number is None:
        raise ValueError(text)
    return Decimal(number)
