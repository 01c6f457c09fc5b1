"""The reference page of all kinds (`docs/definitions.md`), made of the field declarations."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from server.authoring.kinds import default_kinds
from server.mapping import OPTIONS, VALUE_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from server.documents.fields import Field
    from server.documents.kinds import Kind

FILE = "docs/definitions.md"
_HEAD = """# Definitions

<!-- Made from the field declarations by `server.authoring.reference`; a test holds it equal. Do not edit. -->

A definition is one YAML or JSON document: `kind`, `name`, and the fields of that kind. A file may hold many documents
(YAML: separated by `---`; JSON: a list), a folder any number of files; references reach over all of them.

- YAML is read by the 1.2 core schema: `on`, `yes`, `NO`, `12:30`, `2026-01-01`, `1_000` and `010` are texts.
- Duplicate keys, aliases, anchors, tags, unknown keys and literals that look like credentials are errors.
- A file has 256 KiB, 32 levels and 10,000 values at most.
- A secret stands as `{secret: NAME}`, a value of the server's environment as `{env: NAME, default: …}`.
- For help while typing, begin a YAML file with
  `# yaml-language-server: $schema=definition.v1.json` (the file is in `definitions/`, or from `crossdock schema`).

`crossdock check` reports every error at once as `file:line:col CODE message (did you mean …?)`.
"""


def reference_page(kinds: Sequence[Kind] | None = None) -> str:
    """Return the page as Markdown."""
    every = default_kinds() if kinds is None else kinds
    parts = [_HEAD]
    parts += ["\n".join(_section(kind)) for kind in every]
    parts.append("\n".join(_values()))
    return "\n".join(parts)


def _section(kind: Kind) -> Iterator[str]:
    yield f"## {kind.title}"
    yield ""
    yield kind.about
    yield ""
    yield "| field | takes | default | means |"
    yield "|---|---|---|---|"
    for path, declared in kind.object.below():
        yield _row(path.lstrip("."), declared)
    for group in kind.object.one_of:
        yield ""
        yield f"Exactly one of {' and '.join(f'`{name}`' for name in group)} stands in a document."
    yield ""


def _values() -> Iterator[str]:
    yield from ("## Values in a map", "")
    yield "A text is an expression; `{from: EXPR, …}` is one with options; `{value: X}` is a literal, and so are a bare"
    yield "number and boolean; `{each: EXPR, map: …}` makes a list, and inside it `item` is the one of the list; any other"
    yield "mapping makes an object. Where a field takes `text with {{ EXPR }}`, the text stands for itself."
    yield from ("", "| option beside `from` | takes | means |", "|---|---|---|")
    yield from (f"| `{option.name}` | {_cell(option.type)} | {_cell(option.about)} |" for option in OPTIONS)
    yield from ("", "| `type` | gives |", "|---|---|")
    yield from (f"| `{each.name}` | {_cell(each.about)} |" for each in VALUE_TYPES)
    yield ""


def _row(path: str, declared: Field) -> str:
    if declared.coming:
        return f"| `{path}` | *planned* | | {_cell(declared.about)} Answered with `NOT_YET`. |"
    default = "**needed**" if declared.required else f"`{_shown(declared.default)}`" if declared.has_default else ""
    example = f" Example: `{_cell(str(declared.example))}`" if declared.example else ""
    return f"| `{path}` | {_cell(declared.type.label())} | {default} | {_cell(declared.about)}{example} |"


def _shown(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
