"""Texts. No regular expressions: none that run in bounded time on any input are at hand, and mappings rarely need them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from server.mapping.decimals import decimal, exact, fixed, parse_number, whole
from server.mapping.errors import Refused

from .base import Library

if TYPE_CHECKING:
    from server.mapping.budget import Budget

TEXT = Library()
_WIDEST = 10_000


def as_text(value: Any) -> str:
    """Write a text, number or boolean as text: `true`, `12`, `0.50`.

    Raises:
        Refused: EXPR_VALUE, a number that is not finite or too large.

    """
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    return fixed(decimal(value)) if kind in (float, Decimal) else str(exact(value))


@TEXT.add(
    "text(value: text|number|boolean) -> text",
    "The value as text, a number with all its digits.",
    ("text(id)", {"id": 42}, "42"),
)
def _text(_: Budget, value: Any) -> str:
    return as_text(value)


@TEXT.add(
    "concat(a: text|number, more…: text|number) -> text",
    "The texts one after the other; null when one is null.",
    ("concat('SHOP-', text(id))", {"id": 42}, "SHOP-42"),
)
def _concat(budget: Budget, *parts: Any) -> str:
    texts = [part if type(part) is str else as_text(part) for part in parts]
    budget.grow_text(sum(map(len, texts)))
    return "".join(texts)


@TEXT.add("lower(text: text) -> text", "In small letters.", ("lower(e)", {"e": "A@B.C"}, "a@b.c"))
def _lower(_: Budget, text: str) -> str:
    return text.lower()


@TEXT.add("upper(text: text) -> text", "In capital letters.", ("upper(c)", {"c": "kzt"}, "KZT"))
def _upper(_: Budget, text: str) -> str:
    return text.upper()


@TEXT.add(
    "title(text: text) -> text",
    "Each word with a capital letter.",
    ("title(n)", {"n": "ada o'neil-smith"}, "Ada O'neil-smith"),
)
def _title(budget: Budget, text: str) -> str:
    budget.grow_text(len(text) * 4)
    return " ".join([word[:1].upper() + word[1:].lower() for word in text.split(" ")])


@TEXT.add("trim(text: text) -> text", "Without space at both ends.", ("trim(n)", {"n": "  ACME "}, "ACME"))
def _trim(_: Budget, text: str) -> str:
    return text.strip()


@TEXT.add(
    "squeeze(text: text) -> text",
    "Without space at both ends, and one space within.",
    ("squeeze(n)", {"n": " A  B\n"}, "A B"),
)
def _squeeze(budget: Budget, text: str) -> str:
    budget.grow_text(len(text) * 4)
    return " ".join(text.split())


@TEXT.add(
    "replace(text: text, old: text, new: text) -> text",
    "The text with every `old` replaced.",
    ("replace(p, ' ', '')", {"p": "7 701"}, "7701"),
)
def _replace(budget: Budget, text: str, old: str, new: str) -> str:
    if not old:
        raise Refused("the text to replace is empty", value=old)
    budget.grow_text(len(text) + max(0, len(new) - len(old)) * text.count(old))
    return text.replace(old, new)


@TEXT.add(
    "split(text: text, separator: text) -> list",
    "The parts between the separators.",
    ("split(t, ',')", {"t": "a,b"}, ["a", "b"]),
)
def _split(budget: Budget, text: str, separator: str) -> list[str]:
    if not separator:
        raise Refused("the separator is empty", value=separator)
    parts = text.count(separator) + 1
    budget.spend(parts)
    budget.grow(parts)
    budget.grow_text(len(text))
    return text.split(separator)


@TEXT.add(
    "substring(text: text, start: number, length?: number) -> text",
    "The part from `start` (0 is the first character, -1 the last), of at most `length` characters.",
    ("substring(t, 3, 2)", {"t": "SO-42-X"}, "42"),
    ("substring(t, -1)", {"t": "SO-42-X"}, "X"),
)
def _substring(_: Budget, text: str, start: Any, length: Any = None) -> str:
    begin = whole(start)
    if begin < 0:
        begin = max(0, len(text) + begin)
    return text[begin:] if length is None else text[begin : begin + max(0, whole(length))]


@TEXT.add(
    "before(text: text, mark: text) -> text", "What stands before the first mark; all when there is none.",
    ("before(e, '@')", {"e": "ann@x.org"}, "ann"),
)  # fmt: skip
def _before(_: Budget, text: str, mark: str) -> str:
    return text.partition(mark)[0] if mark else text


@TEXT.add(
    "after(text: text, mark: text) -> text",
    "What stands behind the first mark; empty when there is none.",
    ("after(e, '@')", {"e": "ann@x.org"}, "x.org"),
)
def _after(_: Budget, text: str, mark: str) -> str:
    return text.partition(mark)[2] if mark else text


@TEXT.add(
    "index_of(text: text, part: text) -> number",
    "Where the part begins, from 0; -1 when it is not there.",
    ("index_of(t, '-')", {"t": "SO-42"}, 2),
)
def _index_of(_: Budget, text: str, part: str) -> int:
    return text.find(part)


@TEXT.add(
    "pad_left(text: text|number, width: number, fill?: text) -> text",
    "The text filled up to `width` at its left, with spaces or the character that is given.",
    ("pad_left(n, 6, '0')", {"n": 42}, "000042"),
)
def _pad_left(budget: Budget, text: Any, width: Any, fill: str = " ") -> str:
    return as_text(text).rjust(_width(budget, width), _one(fill))


@TEXT.add(
    "pad_right(text: text|number, width: number, fill?: text) -> text",
    "The text filled up to `width` at its right.",
    ("pad_right(n, 4, '.')", {"n": "ab"}, "ab.."),
)
def _pad_right(budget: Budget, text: Any, width: Any, fill: str = " ") -> str:
    return as_text(text).ljust(_width(budget, width), _one(fill))


def _width(budget: Budget, value: Any) -> int:
    width = whole(value)
    if width > _WIDEST:
        raise Refused(f"a text is filled up to {_WIDEST} characters at most", value=value)
    budget.grow_text(max(0, width))
    return width


def _one(fill: str) -> str:
    if len(fill) != 1:
        raise Refused("the fill is one character", value=fill)
    return fill


@TEXT.add("repeat(text: text, times: number) -> text", "The text so many times over.", ("repeat('ab', 2)", {}, "abab"))
def _repeat(budget: Budget, text: str, times: Any) -> str:
    count = max(0, whole(times))
    budget.grow_text(len(text) * count)
    return text * count


@TEXT.add(
    "truncate(text: text, length: number) -> text",
    "At most so many characters from the left.",
    ("truncate(t, 3)", {"t": "ABCDE"}, "ABC"),
)
def _truncate(_: Budget, text: str, length: Any) -> str:
    return text[: max(0, whole(length))]


@TEXT.add("digits(text: text) -> text", "Only the digits 0–9 of the text.", ("digits(p)", {"p": "+7 (701) 1"}, "77011"))
def _digits(budget: Budget, text: str) -> str:
    budget.spend(len(text) >> 1)
    return "".join([letter for letter in text if "0" <= letter <= "9"])


@TEXT.add(
    "is_number(text: text|number) -> boolean",
    "Whether the text is a number that `to_decimal` takes.",
    ("is_number(t)", {"t": "12.x"}, False),
)
def _is_number(_: Budget, text: Any) -> bool:
    return type(text) is not str or parse_number(text) is not None
