"""What is wrong with the options of `resource.list` and `resource.write` that fit their schemas: paths that are none, and requests
that a mode needs and that are not declared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.http.asking import PLACEHOLDER, Path
from server.sdk import FieldError, Permanent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from server.sdk import Mode

_PATHS = frozenset(
    ("records", "record", "next", "has_more", "total", "total_pages", "status", "url", "id", "ids", "errors")
)
_TEMPLATES = frozenset(("query", "headers", "json", "body", "path"))
_BULK_MODES = ("append", "upsert")


def path_problems(options: Any, at: tuple[str | int, ...] = ()) -> Iterator[FieldError]:
    """Yield each text that is read as a JMESPath and is none: the options' own, and those in `{{ … }}`."""
    for key, value in options.items():
        here = (*at, key)
        if key in _TEMPLATES:
            yield from _template_problems(value, here)
        elif key == "fields" and isinstance(value, dict):  # of a keyset: where each value stands in an answer
            for name, path in value.items():
                yield from _path_problem(path, (*here, name))
        elif isinstance(value, dict):
            yield from path_problems(value, here)
        elif key in _PATHS and isinstance(value, str):
            yield from _path_problem(value, here)


def mode_problems(options: Mapping[str, Any], mode: Mode) -> Iterator[FieldError]:
    """Yield what a mode needs beside what is declared."""
    if "bulk" in options and mode not in _BULK_MODES:
        yield FieldError("/bulk", f"mode {mode} is not done in bulk")
    elif mode == "update_only" and "update" not in options:
        yield FieldError("/path", 'mode update_only needs "update": the request that changes a record')
    elif mode == "upsert" and "find" in options and "update" not in options:
        yield FieldError("/find", 'what is found is changed by "update", which is missing')


def _template_problems(value: Any, at: tuple[str | int, ...]) -> Iterator[FieldError]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _template_problems(each, (*at, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _template_problems(each, (*at, number))
    elif isinstance(value, str):
        for each in PLACEHOLDER.findall(value):
            yield from _path_problem(each, at)


def _path_problem(text: Any, at: tuple[str | int, ...]) -> Iterator[FieldError]:
    try:
        Path(str(text))
    except Permanent as error:
        steps = [str(each).replace("~", "~0").replace("/", "~1") for each in at]
        yield FieldError("/" + "/".join(steps), error.message)
