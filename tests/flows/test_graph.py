"""A flow as a graph: what leads to what, in the colours of its states, and no text of the user's can break out of it."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from server.flows.drawing import svg
from server.flows.flow import flow_of
from server.flows.graph import colours, mermaid

EVIL = "data.x == '\"]; click a \\n<script>alert(1)</script>'"
FLOW = {
    "name": "f",
    "events": ["deal.won"],
    "steps": [
        {"id": "a", "call": "erp.x.y", "with": {}},
        {"id": "p", "parallel": {"left": [{"id": "b", "sleep": "5s"}], "right": [{"id": "c", "set": {"x": 1}}]}},
        {
            "id": "q",
            "choose": [
                {"when": EVIL, "steps": [{"id": "d", "emit": {"type": "t.t"}}]},
                {"steps": [{"id": "end", "wait_for": {"event": "e.e"}}]},
            ],
        },
        {
            "id": "l",
            "for_each": "data.list",
            "steps": [{"id": "g", "approve": {"message": "m"}}, {"id": "h", "sleep": "1s"}],
        },
        {"id": "t", "atomic": [{"id": "i", "call": "erp.x.y"}]},
        {"id": "k", "flow": "child"},
    ],
}


def test_what_follows_what_is_drawn() -> None:
    lines = [each.strip() for each in mermaid(flow_of(FLOW)).splitlines()]
    arrows = {each for each in lines if "-->" in each}
    for arrow in (
        "begin --> s_a",
        "s_a --> s_p",
        's_p -->|"left"| s_b',
        "s_b --> s_q",
        "s_c --> s_q",
        's_q -->|"else"| s_end',
    ):
        assert arrow in arrows
    for arrow in ("s_d --> s_g", "s_end --> s_g", "s_g --> s_h", "s_h --> s_i", "s_i --> s_k", "s_k --> finish"):
        assert arrow in arrows
    assert lines[0] == "flowchart TD"
    assert lines.count("end") == 2, "two frames: the block and the transaction"


def test_the_worst_of_the_items_is_shown() -> None:
    states = colours([("l", "running"), ("l[0]/g", "done"), ("l[1]/g", "failed"), ("l[2]/g", "done"), ("a", "done")])
    assert states == {"l": "running", "g": "failed", "a": "done"}
    drawn = mermaid(flow_of(FLOW), states)
    assert "class s_g failed" in drawn
    assert "classDef failed" in drawn
    assert "classDef undone" not in drawn


def test_no_text_breaks_out() -> None:
    drawn = mermaid(flow_of(FLOW))
    assert "<script>" not in drawn
    assert "click a" not in [each.strip() for each in drawn.splitlines()]
    assert all(each.count('"') in (0, 2) for each in drawn.splitlines())
    picture = svg(flow_of(FLOW), {"a": "done"})
    root = ET.fromstring(picture)  # noqa: S314 - our own
    assert {each.tag for each in root.iter()} == {"svg", "rect", "title", "text", "line"}
    names = [each.text for each in root.iter("text") if each.get("class") == "name"]
    assert names == ["a", "p", "b", "c", "q", "d", "end", "g", "h", "i", "k"]
    assert next(each.get("class") for each in root.iter("rect")) == "node is-done"
