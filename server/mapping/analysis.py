"""What an expression reads: the names that it starts with, and the paths that are known without running it.

A path is names from the root, with `[]` for the items of a list and `*` for the values of an object.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from .errors import UNKNOWN_ROOT, ExpressionError
from .functions import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .parser import Tree

Path = tuple[str, ...]
Origins = frozenset[Path]
_ROOT: Origins = frozenset(((),))
_NOWHERE: Origins = frozenset()
_MOST_ORIGINS = 16


class Reads:
    """Follows a tree from the root, collecting `roots` (name → first position) and `paths`."""

    def __init__(self, tree: Tree) -> None:
        self.roots: dict[str, int] = {}
        self._paths: dict[Path, None] = {}
        self._use(self._trace(tree, _ROOT, 0))

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths whose values are used, in the order of the text."""
        return tuple(path for path in self._paths if path)

    def _use(self, origins: Origins) -> None:
        self._paths.update(dict.fromkeys(sorted(origins)))

    def _trace(self, tree: Tree, origins: Origins, at: int) -> Origins:
        """Return where the tree's value comes from when the current value comes from `origins`."""
        trace: Callable[[Tree, Origins, int], Origins] = getattr(self, f"_{tree['type']}", self._made)
        return trace(tree, origins, tree.get("at", at))

    def _made(self, tree: Tree, origins: Origins, at: int) -> Origins:
        """Follow comparators, logic and multi-selects: what they read is used, and they make a value of their own."""
        for child in tree["children"]:
            self._use(self._trace(child, origins, at))
        return _NOWHERE

    def _identity(self, _tree: Tree, origins: Origins, _at: int) -> Origins:
        return origins

    _current = _slice = _identity

    def _field(self, tree: Tree, origins: Origins, at: int) -> Origins:
        if () in origins:
            self.roots.setdefault(tree["value"], at)
        return _below(origins, tree["value"])

    def _index(self, _tree: Tree, origins: Origins, _at: int) -> Origins:
        return _below(origins, "[]")

    def _chain(self, tree: Tree, origins: Origins, at: int) -> Origins:
        for child in tree["children"]:
            origins = self._trace(child, origins, at)
        return origins

    _subexpression = _index_expression = _pipe = _flatten = _chain

    def _projection(self, tree: Tree, origins: Origins, at: int) -> Origins:
        base, body, *condition = tree["children"]
        items = _below(self._trace(base, origins, at), "*" if tree["type"] == "value_projection" else "[]")
        for test in condition:
            self._use(self._trace(test, items, at))
        return self._trace(body, items, at)

    _value_projection = _filter_projection = _projection

    def _or_expression(self, tree: Tree, origins: Origins, at: int) -> Origins:
        return _NOWHERE.union(*(self._trace(child, origins, at) for child in tree["children"]))

    def _function_expression(self, tree: Tree, origins: Origins, at: int) -> Origins:
        items: Origins = _NOWHERE
        found: list[Origins] = []
        function = FUNCTIONS.get(tree["value"])
        for child in tree["children"]:
            if child["type"] != "expref":
                found.append(self._trace(child, origins, at))
                items = items or _below(found[-1], "[]")
        for child in tree["children"]:
            if child["type"] == "expref":
                self._use(self._trace(child["children"][0], items, at))
        for each in found:
            self._use(each)
        if function is None or not found:
            return _NOWHERE
        return {"same": found[0], "item": items}.get(function.result, _NOWHERE)


def _below(origins: Origins, name: str) -> Origins:
    return frozenset((*path, name) for path in origins) if len(origins) <= _MOST_ORIGINS else _NOWHERE


def check_roots(reads: Reads, roots: frozenset[str], text: str) -> None:
    """See that every name at the root is known in this place.

    Raises:
        ExpressionError: EXPR_UNKNOWN_ROOT; the message ends in how to write text.

    """
    for name, at in reads.roots.items():
        if name in roots:
            continue
        close = difflib.get_close_matches(name[:64], roots, 1)
        literal = text.strip() if text.strip().replace(".", "").replace("_", "").isalnum() else name
        known = ", ".join(sorted(roots))
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ExpressionError(
            f'unknown name "{name[:64]}": here expressions start with {known}{hint}; for text write {{value: {literal[:64]}}}',
            code=UNKNOWN_ROOT,
            text=text,
            position=at,
            suggestion=close[0] if close else None,
        )


def made_only_of_data(tree: Tree) -> bool:
    """Tell whether the value is a part of the data, and so no larger than it: no multi-select, no function."""
    stack: list[Any] = [tree]
    while stack:
        node = stack.pop()
        if node["type"] in ("multi_select_list", "multi_select_dict", "function_expression"):
            return False
        stack += [child for child in node["children"] if isinstance(child, dict)]
    return True
