"""Listings are all alike, and a cursor leads to exactly the next items or to a 422."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kernel.errors import Invalid
from server.web.paging import read, write
from tests.web.toy import as_role


def test_following_the_cursor_shows_each_item_once(client):
    for number in range(7):
        client.post("/api/v1/toys", json={"name": f"t{number}"}, headers=as_role("admin"))
    seen, cursor = [], ""
    while cursor is not None:
        answer = client.get(
            f"/api/v1/toys?limit=3&cursor={cursor}" if cursor else "/api/v1/toys?limit=3", headers=as_role("viewer")
        )
        assert answer.json.keys() == {"items", "next"}
        seen.append([each["name"] for each in answer.json["items"]])
        cursor = answer.json["next"]
    assert seen == [["t0", "t1", "t2"], ["t3", "t4", "t5"], ["t6"]]


def test_a_page_that_is_just_full_is_the_last(client):
    for name in "ab":
        client.post("/api/v1/toys", json={"name": name}, headers=as_role("admin"))
    assert client.get("/api/v1/toys?limit=2", headers=as_role("viewer")).json["next"] is None


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1.5", "9" * 30, ""])
def test_a_limit_outside_of_1_to_200_is_refused(client, limit: str):
    answer = client.get(f"/api/v1/toys?limit={limit}", headers=as_role("viewer"))
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/limit"


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "",
        "AAAA",
        "é",
        "a" * 2001,
        write("others", ["a"]),
        write("toys", [1]),
        write("toys", ["a", "b"]),
        write("toys", ["a"])[:-1],
    ],
)
def test_a_cursor_of_another_listing_or_none_is_refused(client, cursor: str):
    answer = client.get("/api/v1/toys", query_string={"cursor": cursor}, headers=as_role("viewer"))
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/cursor"


@given(st.text(st.characters(exclude_characters="\0"), max_size=50), st.integers(0, 2**31 - 1), st.uuids())
def test_what_is_written_is_read(text: str, number: int, identity: UUID):
    text = text.encode(errors="replace").decode()
    assert read(write("l", [text, number, identity]), "l", str, int, UUID) == [text, number, identity]


@pytest.mark.parametrize(("value", "kind"), [("a\0", str), (-1, int), (2**31, int), (2**63, int)])
def test_a_forged_cursor_that_no_column_could_hold_is_invalid(value, kind: type):
    with pytest.raises(Invalid):
        read(write("l", [value]), "l", kind)


@given(st.text(max_size=80))
def test_whatever_is_read_is_a_position_or_invalid(text: str):
    with pytest.raises(Invalid):
        read(text, "l", str)


@pytest.mark.parametrize("value", ["x", 5, None])
def test_a_forged_cursor_with_a_wrong_type_is_invalid(value):
    with pytest.raises(Invalid):
        read(write("l", [value]), "l", UUID)
    assert read(write("l", [uuid4()]), "l", UUID)
