"""Bodies, strictly: bounded, in UTF-8, and JSON that reads the same to whoever reads it after us.

One parser, the standard library's scanner with hooks: a repeated key, NaN, 1e999, an integer beyond 64 bits and nesting
beyond 64 are refused while parsing (about 12 µs per KiB), so that no two readers of one body disagree on what it says.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import TYPE_CHECKING, Any

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from server.kernel.errors import Malformed, TooLarge, Unsupported, code
from server.web.current import frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from server.config import Settings

JSON_DUPLICATE_KEY = code("JSON_DUPLICATE_KEY", "A JSON object names the same key twice.")
JSON_TOO_DEEP = code("JSON_TOO_DEEP", "The JSON is nested deeper than 64 levels.")
JSON_NUMBER = code("JSON_NUMBER", "A JSON number is not finite, or an integer outside of -2^63 to 2^63-1.")
JSON_TEXT = code("JSON_TEXT", "A JSON text holds U+0000 or half of a surrogate pair, which cannot be stored.")
ENCODING_REFUSED = code("ENCODING_REFUSED", "Bodies are taken as they are: no Content-Encoding.")

DEPTH_LIMIT = 64
JSON_TYPES = ("application/json",)
_INTEGERS = (-(2**63), 2**63 - 1)
_SURE_DIGITS = 18
_LONGEST_FRACTION = 1000
_LARGEST_EXPONENT = 400
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
_TEXTS = re.compile(rb'"[^"]*"')
_PAIRS = re.compile(rb"\\u[dD][89aAbB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_HALVES = re.compile(rb"\\u[dD][89a-fA-F]|\\u0000")


def raw_body() -> bytes:
    """Return the body as it came, once it is known to be small enough and not encoded.

    Raises:
        TooLarge: more than the limit, by its Content-Length or while reading.
        Unsupported: ENCODING_REFUSED.

    """
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise Unsupported("send the body without Content-Encoding", code=ENCODING_REFUSED, source="web")
    check_length()
    try:
        body = request.get_data(cache=True, parse_form_data=False)
    except RequestEntityTooLarge as error:
        raise _too_large() from error
    if len(body) > frame().settings.body_limit:
        raise _too_large()
    return body


def most_read(settings: Settings) -> int:
    """Return how many bytes of a body the framework may read: one over the limit.

    Werkzeug cuts a body of unknown length at its maximum without a word, so the one byte more is how we know.
    """
    return settings.body_limit + 1


def check_length() -> None:
    """Refuse a body whose Content-Length is over the limit before any of it is read."""
    if request.content_length is not None and request.content_length > frame().settings.body_limit:
        raise _too_large()


def _too_large() -> TooLarge:
    limit = frame().settings.body_limit
    return TooLarge(f"the body is larger than {limit} bytes", source="web", limit=limit)


def content_type(taken: Sequence[str] = JSON_TYPES) -> str:
    """Return the media type of the body, one of `taken`, in lower case and without parameters.

    Raises:
        Unsupported: another type, none, or a charset other than UTF-8.

    """
    given = request.mimetype
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if given not in taken or charset not in ("utf-8", "utf8"):
        raise Unsupported(
            f"send {' or '.join(taken)} in UTF-8" + (f", not {given[:100]}" if given else ": there is no Content-Type"),
            source="web",
            taken=list(taken),
        )
    return given


def read_json(taken: Sequence[str] = JSON_TYPES, *, any_text: bool = False) -> Any:
    """Return the JSON of the request's body.

    Raises:
        TooLarge, Unsupported, Malformed: see `raw_body`, `content_type` and `parse_json`.

    """
    body = raw_body()
    content_type(taken)
    return parse_json(body, any_text=any_text)


def parse_json(body: bytes, *, any_text: bool = False, number: Callable[[str], Any] = float) -> Any:
    """Parse JSON strictly; `number` makes what has a fraction or an exponent; `any_text` takes U+0000 and lone halves.

    Raises:
        Malformed: with `details` line and column where they are known.

    """
    decoder = _FLOATS if number is float else _decoder(number)
    try:
        value = decoder.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Malformed(f"the body is not UTF-8 (byte {error.start})", source="web", byte=error.start) from error
    except json.JSONDecodeError as error:
        message = f"not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        raise Malformed(message, source="web", line=error.lineno, column=error.colno) from error
    except RecursionError as error:
        raise _too_deep() from error
    if body.count(b"[") + body.count(b"{") > DEPTH_LIMIT and not _shallow(body):
        raise _too_deep()
    if not any_text and b"\\u" in body and _unstorable(body):
        raise Malformed("a text holds U+0000 or half of a surrogate pair", code=JSON_TEXT, source="web")
    return value


def _too_deep() -> Malformed:
    return Malformed(
        f"the JSON is nested deeper than {DEPTH_LIMIT}", code=JSON_TOO_DEEP, source="web", limit=DEPTH_LIMIT
    )


def _shallow(body: bytes) -> bool:
    """Say whether JSON that is known to be well-formed nests at most DEPTH_LIMIT deep: peel it layer by layer."""
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    layers = _TEXTS.sub(b"", bare.translate(_BRACKETS, _NOT_STRUCTURE))
    for _ in range(DEPTH_LIMIT):
        layers = layers.replace(b"[]", b"")
        if not layers:
            return True
    return False


def _unstorable(body: bytes) -> bool:
    bare = body.replace(b"\\\\", b"")
    return _HALVES.search(_PAIRS.sub(b"", bare)) is not None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        again = next(key for number, (key, _) in enumerate(pairs) if any(key == each for each, _ in pairs[:number]))
        raise Malformed(f"the key {again[:100]!r} stands twice in one object", code=JSON_DUPLICATE_KEY, source="web")
    return made


def _integer(text: str) -> int:
    if len(text) > _SURE_DIGITS and not (len(text) <= _SURE_DIGITS + 2 and _INTEGERS[0] <= int(text) <= _INTEGERS[1]):
        raise Malformed("an integer lies outside of -2^63 to 2^63-1", code=JSON_NUMBER, source="web")
    return int(text)


def _constant(text: str) -> Any:
    raise Malformed(f"{text} is not a JSON number", code=JSON_NUMBER, source="web")


def _decoder(number: Callable[[str], Any]) -> json.JSONDecoder:
    def fraction(text: str) -> Any:
        # A tiny number is as dear as a huge one: 1e-99999999, written out by whoever keeps its digits, has 100 MB.
        exponent = text.lower().partition("e")[2]
        if len(text) > _LONGEST_FRACTION or not isfinite(float(text)) or abs(int(exponent or 0)) > _LARGEST_EXPONENT:
            raise Malformed("a number is too large, too small or too long", code=JSON_NUMBER, source="web")
        return number(text)

    return json.JSONDecoder(
        object_pairs_hook=_object, parse_int=_integer, parse_float=fraction, parse_constant=_constant
    )


_FLOATS = _decoder(float)
