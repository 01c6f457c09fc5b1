"""JSON and XML documents, read element by element: memory stays flat whatever their size."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any, BinaryIO

import defusedxml.ElementTree
import ijson
from defusedxml.common import DefusedXmlException

from plugins.files.failures import broken_row, file_broken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from server.sdk import Row

_DEEPEST = 32


class JsonRows:
    """The elements of a list in a JSON file, the file itself being one by default."""

    def __init__(self, path: str, opened: Callable[[int], BinaryIO], options: Mapping[str, Any]) -> None:
        self._path, self._opened = path, opened
        records = options.get("records")
        self._prefix = f"{records}.item" if records else "item"

    def __iter__(self) -> Iterator[Row]:
        number = 0
        with self._opened(0) as file:
            try:
                for number, each in enumerate(ijson.items(file, self._prefix), 1):
                    yield (
                        each
                        if isinstance(each, dict)
                        else broken_row(f"element {number} is no object", str(each)[:500])
                    )
            except (ijson.JSONError, UnicodeDecodeError) as error:
                raise file_broken(self._path, f"it is no JSON after element {number}") from error


class XmlRows:
    """The elements of one name in an XML file, without entities or references to elsewhere.

    An attribute is `@name`, a child its text or, with children or attributes of its own, an object; several children of one
    name are a list. The text beside children is `#text`. Namespaces are left out of names.
    """

    def __init__(self, path: str, opened: Callable[[int], BinaryIO], options: Mapping[str, Any]) -> None:
        self._path, self._opened, self._records = path, opened, options.get("records")

    def __iter__(self) -> Iterator[Row]:
        above: list[ET.Element] = []
        with self._opened(0) as file:
            try:
                for event, element in defusedxml.ElementTree.iterparse(file, ("start", "end"), forbid_dtd=True):
                    if event == "start":
                        above.append(element)
                        continue
                    above.pop()
                    if above and (_name(element.tag) == self._records if self._records else len(above) == 1):
                        found = _value(element, 0)
                        yield found if isinstance(found, dict) else {"value": found}
                        above[-1].clear()  # what was read is not kept
            except (ET.ParseError, DefusedXmlException, ValueError) as error:
                raise file_broken(self._path, "it is no XML that is read") from error


def _name(tag: str) -> str:
    return tag.rpartition("}")[2]


def _value(element: ET.Element, depth: int) -> Any:
    """Return an element as JSON."""
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    made: dict[str, Any] = {f"@{_name(name)}": value for name, value in element.attrib.items()}
    for child in element:
        name, value = _name(child.tag), _value(child, depth + 1)
        if name not in made:
            made[name] = value
        elif isinstance(made[name], list):
            made[name].append(value)
        else:
            made[name] = [made[name], value]
    text = (element.text or "").strip()
    if not made:
        return text or None
    return {**made, "#text": text} if text else made
