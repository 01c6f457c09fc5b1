"""What commands write: JSON as it was answered, tables and details for people. Nothing of it can drive a terminal."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NOTHING = "-"
_SURE_DIGITS = 18


def read_json(text: str | bytes, make: type[dict[str, Any]] = dict) -> Any:
    """Read JSON and keep every digit: numbers with a fraction, and integers beyond 64 bits, become Decimal.

    `make` is what objects become.

    Raises:
        ValueError: not JSON.

    """
    hook = None if make is dict else make
    return json.loads(text, parse_float=Decimal, parse_int=_integer, parse_constant=_constant, object_hook=hook)


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _SURE_DIGITS else Decimal(text)


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def write_json(value: Any, *, indent: bool = False) -> str:
    """Write JSON with the digits that were read."""
    import orjson  # noqa: PLC0415 (see server/cli/__init__.py)

    def default(other: Any) -> Any:
        if isinstance(other, Decimal):
            return orjson.Fragment(str(other).encode())
        raise TypeError(f"not JSON: {type(other).__name__}")

    return orjson.dumps(value, default=default, option=orjson.OPT_INDENT_2 if indent else 0).decode()


def say(text: str) -> None:
    """Write one line of the result."""
    click.echo(visible(text, keep="\n"))


def note(text: str) -> None:
    """Write one line that is not the result, to standard error."""
    click.echo(visible(text, keep="\n"), err=True)


def visible(text: str, keep: str = "") -> str:
    """Replace what a terminal would obey or hide (escapes, control and bidirectional characters) by its code."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in keep else letter.encode("unicode_escape").decode()
        for letter in text
    )


def cell(value: Any) -> str:
    """Write one value on one line; what is absent is `-`."""
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(each, str | int) for each in value):
        return visible(", ".join(str(each) for each in value))
    return visible(write_json(value) if isinstance(value, dict | list) else str(value))


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Write rows under titles; `columns` maps a title to a key, or to a path of keys and places by dots."""
    cells = [[cell(_at(row, path)) for path in columns.values()] for row in rows]
    if sys.stdout.isatty():
        _rich_table(list(columns), cells)
        return
    lines = [list(columns), *cells]
    widths = [max(len(line[number]) for line in lines) for number in range(len(columns))]
    for line in lines:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _rich_table(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich import box  # noqa: PLC0415 (see server/cli/__init__.py)
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        shown.add_column(title, overflow="fold")
    for line in cells:
        shown.add_row(*(Text(text) for text in line))
    Console(highlight=False).print(shown)


def details(value: Mapping[str, Any]) -> None:
    """Write one thing, a line per key; nested values stand below their key as indented JSON."""
    width = max((len(key) for key in value), default=0)
    for key, each in value.items():
        if isinstance(each, dict | list) and each and len(cell(each)) > 100 - width:
            say(f"{key}:")
            say("\n".join(f"  {line}" for line in write_json(each, indent=True).splitlines()))
        else:
            say(f"{key + ':':<{width + 1}} {cell(each)}")


def _at(row: Mapping[str, Any], path: str) -> Any:
    value: Any = row
    for key in path.split("."):
        if isinstance(value, list):
            value = {str(place): each for place, each in enumerate(value)}
        value = value.get(key) if isinstance(value, dict) else None
    return value


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show on a terminal that something is at work; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415 (see server/cli/__init__.py)

    with Console(stderr=True).status(text):
        yield
