"""A mapping whose form a word in it chooses: `{scheme: basic, username: …}` beside `{scheme: bearer, token: …}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.documents.fields import MISSING_KEY, Field, FieldType, Object, wrong_type
from server.documents.nodes import MappingNode, Node
from server.documents.scalars import Choice, Const

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.documents.checking import Checker


@dataclass(frozen=True)
class Variants(FieldType):
    """Forms by the word under `tag`; each form declares its own fields, and all of them the tag itself."""

    tag: str
    about: str
    forms: tuple[tuple[str, Object], ...]
    name: str

    @property
    def _choice(self) -> Choice:
        return Choice(tuple(word for word, _ in self.forms))

    def check(self, node: Node, checker: Checker) -> None:
        """Check the word, and the mapping by the form that it chooses."""
        if not isinstance(node, MappingNode):
            wrong_type(node, f'a mapping with "{self.tag}"', checker)
            return
        tag = node.get(self.tag)
        if tag is None:
            if not node.broken:
                checker.error(MISSING_KEY, node, f'"{self.tag}" is missing in {self.name}')
            return
        form = dict(self.forms).get(str(getattr(tag, "value", "")))
        if form is None:
            self._choice.check(tag, checker)
        else:
            form.check(node, checker)

    def schema(self) -> dict[str, Any]:
        """Return the schema: any of the forms."""
        return {"anyOf": [form.schema() for _, form in self.forms]}

    def label(self) -> str:
        """Return `object`."""
        return "object"

    def accepts(self, node: Node) -> bool:
        """Say whether it is a mapping."""
        return isinstance(node, MappingNode)

    def below(self) -> Iterator[tuple[str, Field]]:
        """Yield the tag with all its words, and the fields of every form, each path once."""
        tag = Field(self.tag, self._choice, self.about, required=True)
        yield f".{self.tag}", tag
        seen = {f".{self.tag}"}
        for _, form in self.forms:
            for path, inner in form.below():
                if path not in seen:
                    seen.add(path)
                    yield path, inner


def variants(tag: str, about: str, forms: dict[str, tuple[Field, ...]], name: str, **groups: Any) -> Variants:
    """Return the variants of a mapping; `groups` holds for a word what `Object` takes beside fields (`one_of`, `rules`)."""
    return Variants(
        tag,
        about,
        tuple(
            (
                word,
                Object(
                    (Field(tag, Const(word), about, required=True), *fields),
                    name=f"{name} by {word}",
                    **groups.get(word.replace("-", "_"), {}),
                ),
            )
            for word, fields in forms.items()
        ),
        name,
    )
