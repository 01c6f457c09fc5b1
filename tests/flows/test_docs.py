"""The page about flows: its examples are taken, and every kind of step and of end stands on it."""

from __future__ import annotations

import re

import pytest

from server.authoring.check import check
from server.documents.reading import File
from server.flows.announcing import TYPES
from server.flows.states import RUN
from server.flows.step_fields import FIRST
from tests.authoring.worlds import ROOT, catalog

PAGE = (ROOT / "docs/flows.md").read_text("utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
ERP = "kind: Integration\nname: erp\nplugin: erp_sandbox\nconfig: {}\n---\n"
BEFORE = {"PATH_UNKNOWN", "UNKNOWN_REFERENCE"}
"""What an example says of steps and flows that stand before it."""


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_is_taken(text: str) -> None:
    whole = (
        text
        if text.startswith("kind")
        else "kind: Flow\nname: f\n" + (text if text.startswith("tests") else f"steps:\n{text}")
    )
    if text.startswith("tests"):
        steps = "steps:\n" + "".join(f"  - {{id: {name}, sleep: 5s}}\n" for name in ("order", "invoice", "allowed"))
        whole += steps
    result = check([File("flow.yaml", (ERP + whole).encode())], catalog())
    assert [str(each) for each in result.errors if each.code not in BEFORE] == []


@pytest.mark.parametrize(
    "word",
    [*FIRST, *RUN, "compensate", "fail", "continue", *(each.removeprefix("crossdock.flow_run") for each in TYPES)],
)
def test_the_page_explains(word: str) -> None:
    assert f"`{word}" in PAGE or f"{word}`" in PAGE or f"crossdock.flow_run{word}" in PAGE
