"""What is exported checks cleanly, and applied again it changes nothing."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.authoring import exporting
from server.authoring.exporting import write_yaml
from server.authoring.queries import content_hash
from server.documents.nodes import plain
from server.documents.reading import File, read_file
from server.store.values import read_json, write_json
from tests.support.definitions import ALL, SIGNED, WAREHOUSE, changed

if TYPE_CHECKING:
    from tests.authoring_db.conftest import Hand

EXAMPLES = Path(__file__).resolve().parents[2] / "definitions"


def export(hand: Hand, origin: str | None = None) -> dict[str, str]:
    with hand.begin() as tx:
        return {each.path: each.text for each in exporting.export(tx, origin)}


def test_each_definition_is_a_file_named_by_kind_and_name(hand: Hand) -> None:
    hand.apply(*ALL)
    assert sorted(export(hand)) == [
        "event-types/order.created@1.yaml",
        "integrations/warehouse.yaml",
        "webhooks/orders.yaml",
    ]


def test_a_file_reads_as_a_person_would_write_it(hand: Hand) -> None:
    hand.apply(changed(WAREHOUSE, "description: Склад, Алматы", "tags: [production, '1e3', 'yes']"))
    assert export(hand)["integrations/warehouse.yaml"] == (
        "kind: Integration\n"
        "name: warehouse\n"
        'description: "Склад, Алматы"\n'
        "tags:\n"
        "- production\n"
        '- "1e3"\n'
        '- "yes"\n'
        "plugin: http\n"
        "config:\n"
        '  base_url: "https://warehouse.example.com/api"\n'
    )


def test_applied_again_an_export_changes_nothing(hand: Hand) -> None:
    hand.secret("HOOK_KEY")
    awkward = changed(
        WAREHOUSE,
        'description: "a: b # c\\n\\ttab\\u2028 \'x\' \\"y\\""',
        "metadata: {a: 1.50, b: 1e3, c: -0.0, d: '010', e: 'null', f: true, g: 12345678901234567.89, h: '2026-01-01'}",
    )
    hand.apply(*ALL[1:], awkward, SIGNED)
    texts = export(hand).values()
    before = hand.snapshot()
    applied = hand.apply(*texts, prune=True)
    assert (applied.changes, applied.unchanged) == ((), 4)
    assert hand.snapshot() == before


def test_an_export_carried_to_another_workspace_exports_the_same(hand: Hand, neighbour: Hand) -> None:
    hand.apply(*ALL)
    neighbour.apply(*export(hand).values())
    assert export(neighbour) == export(hand)


def test_an_export_can_be_of_one_origin_and_never_holds_what_was_removed(hand: Hand) -> None:
    hand.apply(*ALL[:2])
    hand.apply(ALL[2], origin="folder:other")
    assert list(export(hand, "folder:other")) == ["webhooks/orders.yaml"]
    hand.apply(origin="folder:other", prune=True)
    assert list(export(hand, "folder:other")) == []


NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=Decimal("-1e30"), max_value=Decimal("1e30"), places=4),
)
# What a definition may hold: U+0000 and halves of surrogate pairs are refused when it is read.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=20,
)


@given(value=JSON)
@example(value=["0o17", "0x1F", "1_000", "12:30", "2026-01-01", "~", "", " ", "=", "<<", "- a", "? b", "a: b", "a #b"])
@example(
    value=["\x85", "\u2028", "\ufeff", "\x7f", "\x1b", "\ufffe", "\U0001f600", "a\r\nb", "\t", "a" * 300 + " b" * 300]
)
@example(
    value=[".5", "5.", "+1", "-.inf", ".nan", "1e5", "null", "True", "NO", "on", "%a", "@a", "`a", "!a", "&a", "*a"]
)
@example(value={"": {"": []}, "a": {}, "null": 1, "1": 2, "<<": 3, "=": 4})
@example(value=[Decimal("1E+3"), Decimal("0.10"), Decimal("-0.0"), Decimal("1E-7"), 10**18])
def test_whatever_json_is_written_reads_back_as_the_same(value: Any) -> None:
    body = {"kind": "EventType", "name": "order.created", "example": value}
    stored = read_json(write_json(body))
    text = write_yaml("EventType", stored)
    reading = read_file(File("x.yaml", text.encode()))
    assert [str(each) for each in reading.findings] == []
    (root,) = reading.documents
    assert content_hash(plain(root)) == content_hash(body)


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: path.name)
def test_the_definitions_that_we_ship_survive_an_export(path: Path) -> None:
    for root in read_file(File(path.name, path.read_bytes())).documents:
        body = plain(root)
        if body["kind"] in ("EventType", "Integration", "Webhook") and body.get("direction") != "inbound":
            again = read_file(File("x.yaml", write_yaml(body["kind"], body).encode()))
            assert content_hash(plain(again.documents[0])) == content_hash(body)
