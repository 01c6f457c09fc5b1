"""XML as JSON, by a parser that takes no DTD at all: so there are no entities to blow up and nothing to fetch.

    <order id="7"><line sku="A"/><line sku="B"/><note>hi</note></order>
    {"order": {"@id": "7", "line": [{"@sku": "A"}, {"@sku": "B"}], "note": "hi"}}

An element that has only text is that text, an empty one null; attributes are `@name`, text beside either is `#text`. Children of
one name are a list when there are several: write `to_array(body.order.line)` where one may come alone. Names are without their
namespace. White space at the ends of a text is left out. defusedxml over expat: it is small, and refuses a DTD at its first sign;
lxml would bring libxml2, whose limits are options that must all be right.
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from server.kernel.errors import Malformed, code

XML_REFUSED = code("XML_REFUSED", "The XML has a DTD, is nested deeper than 64, or has more than 100,000 elements.")
DEPTH_LIMIT = 64
MOST_ELEMENTS = 100_000
TEXT = "#text"


def parse_xml(body: bytes, charset: str | None = None) -> dict[str, Any]:
    """Return an XML document as JSON; `charset` comes from outside, and goes before what the document says.

    Raises:
        Malformed: not well-formed, or XML_REFUSED.

    """
    builder = _Builder()
    parser = DefusedXMLParser(target=builder, encoding=charset, forbid_dtd=True)
    try:
        parser.feed(body)
        parser.close()
    except ParseError as error:
        line, column = error.position
        raise Malformed(f"not XML: line {line}, column {column}", source="inbound", line=line, column=column) from error
    except DefusedXmlException as error:
        raise _refused("a DTD is not taken") from error
    except (ValueError, LookupError) as error:  # an encoding that nobody knows
        raise Malformed("not XML in an encoding that is taken", source="inbound") from error
    name, value = builder.root
    return {name: value}


class _Open:
    """An element whose end has not come."""

    __slots__ = ("name", "parts", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.parts: dict[str, Any] = {f"@{_local(key)}": value for key, value in attributes.items()}
        self.text: list[str] = []

    def add(self, name: str, value: Any) -> None:
        """Put a child in, or behind those of its name."""
        before = self.parts.get(name, self)
        if before is self:
            self.parts[name] = value
        elif isinstance(before, list):
            before.append(value)
        else:
            self.parts[name] = [before, value]

    def value(self) -> Any:
        """Return what the element is as JSON."""
        text = "".join(self.text).strip()
        if not self.parts:
            return text or None
        if text:
            self.parts[TEXT] = text
        return self.parts


class _Builder:
    """What the parser calls."""

    def __init__(self) -> None:
        self.open: list[_Open] = []
        self.root: tuple[str, Any] = ("", None)
        self.elements = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        self.elements += 1
        if len(self.open) >= DEPTH_LIMIT or self.elements > MOST_ELEMENTS:
            raise _refused(f"more than {DEPTH_LIMIT} levels or {MOST_ELEMENTS} elements")
        self.open.append(_Open(_local(tag), attributes))

    def data(self, text: str) -> None:
        """Take a piece of text."""
        self.open[-1].text.append(text)

    def end(self, _tag: str) -> None:
        """End an element."""
        done = self.open.pop()
        if self.open:
            self.open[-1].add(done.name, done.value())
        else:
            self.root = (done.name, done.value())

    def close(self) -> None:
        """Nothing is left to do: `root` is what was read."""


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _refused(message: str) -> Malformed:
    return Malformed(message, code=XML_REFUSED, source="inbound")
