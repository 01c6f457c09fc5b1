"""Which tests run on which of the processes beside each other: those of a file on one, for what they share is made once.

The long ones are first, so that nobody waits for them at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import pytest

TOGETHER = ("tests/tryton/",)
"""Folders whose tests share one server."""
FIRST = ("tests/tryton/", "tests/house/test_readme.py", "tests/api/test_schemathesis.py", "tests/house/test_house.py")


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist says nothing of its types
    """Gives out files, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return next((folder for folder in TOGETHER if path.startswith(folder)), path)


def long_ones_first(items: list[pytest.Item]) -> None:
    """Sort tests, those of a file staying together."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    return next((number for number, start in enumerate(FIRST) if item.nodeid.startswith(start)), len(FIRST))
