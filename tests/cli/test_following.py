"""`crossdock events --follow`, `tree` and `history`: the same in this process and over HTTP."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from server.cli import following
from server.cli.failing import Refused
from server.kernel.errors import Unavailable
from tests.cli.conftest import Cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def both(local: Cli, served: str) -> tuple[Cli, Cli]:
    token = local.json("token", "create", "--role", "admin")["token"]
    return local, Cli({"CROSSDOCK_URL": served, "CROSSDOCK_TOKEN": token})


def test_listening_starts_now_or_in_the_past_and_goes_on(both: tuple[Cli, Cli]) -> None:
    here, _ = both
    for number in range(3):
        here.ok("send", "order.created", "--id", f"a{number}", "--data", '{"total": 1500.00}', "--subject", "SO-1")
    here.ok("send", "invoice.paid", "--id", "other", "--data", "1")
    since = ("--since", "2020-01-01T00:00:00Z", "--type", "order.*")
    for cli in both:
        lines = cli.ok("events", "--follow", "--count", "3", *since, "--json").splitlines()
        assert [json.loads(line)["id"] for line in lines] == ["a0", "a1", "a2"]
        assert '"total": 1500.00' in lines[0].replace(":1500", ": 1500")
        human = cli.ok("events", "--follow", "--count", "1", *since)
        assert human.split()[1:] == ["order.created", "SO-1", "a0"]
        heard: list[str] = []
        thread = threading.Thread(
            target=lambda cli=cli, heard=heard: heard.append(cli.ok("events", "--follow", "--count", "1", "--json"))
        )
        thread.start()
        end = time.monotonic() + 15
        while thread.is_alive() and time.monotonic() < end:
            here.ok("send", "order.created", "--data", '"fresh"')
            time.sleep(0.3)
        thread.join(5)
        assert json.loads(heard[0])["data"] == "fresh"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--count", "3"),
        ("--follow", "--source", "x"),
        ("--follow", "--all"),
        ("--follow", "--count", "0"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert cli("events", *arguments).exit_code == 2


def test_no_listening_without_a_token_or_with_a_wrong_pattern(both: tuple[Cli, Cli]) -> None:
    _, there = both
    assert there("events", "--follow", CROSSDOCK_TOKEN="").exit_code == 5
    assert there("events", "--follow", CROSSDOCK_URL="http://127.0.0.1:9").stderr.startswith("SERVER_AWAY")
    for cli in both:
        assert cli("events", "--follow", "--type", "a..b").stderr.startswith("PATTERN_INVALID")


class Broken:
    """A way whose connections break as a list says: pieces, or an error to raise."""

    def __init__(self, *connections: list[bytes | Exception]) -> None:
        self.connections = list(connections)
        self.lasts: list[str | None] = []

    def listen(self, _path: str, last: str | None, **_query: Any) -> Iterator[bytes]:
        self.lasts.append(last)
        for piece in self.connections.pop(0):
            if isinstance(piece, Exception):
                raise piece
            yield piece


AWAY = Unavailable("away")


def test_a_broken_connection_is_made_again_after_the_last_event(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(following.time, "sleep", slept.append)
    rest = Broken(
        [b"retry: 500\n\n: alive\nid: 1\n\nid: 2\nda", b'ta: {"n": 1}\n\nid: 3\ndata: {"n"', AWAY],
        [AWAY],
        [b'id: 3\ndata: {"n": 2}\n\n'],
        [b'event: end\ndata: {"code": "STREAM_TURN", "message": "m", "retryable": true}\n\n'],
        [b'event: end\ndata: {"code": "UNAUTHENTICATED", "message": "m", "retryable": false}\n\n'],
    )
    heard = []
    with pytest.raises(Refused) as refused:
        heard.extend(following.follow(rest, "2020-01-01T00:00:00Z"))  # type: ignore[arg-type]
    del heard
    assert refused.value.code == "UNAUTHENTICATED"
    assert rest.lasts == [None, "2", "2", "3", "3"]
    assert slept == [1.0, 2.0, 0.5, 0.5]


def test_the_tree_is_drawn(both: tuple[Cli, Cli]) -> None:
    here, there = both
    here.ok("send", "order.created", "--id", "a", "--data", "1", "--subject", "SO-1", "--correlation-id", "c")
    here.ok("send", "order.paid", "--id", "b", "--data", "1", "--correlation-id", "c")
    drawn = here.ok("events", "tree", "a")
    assert drawn.splitlines() == ["event  order.created  SO-1  a  <- asked for", "event  order.paid  b"]
    assert there.ok("events", "tree", "a") == drawn
    assert here.json("events", "tree", "a")["nodes"] == 2


def test_the_history_tells_what_changed(both: tuple[Cli, Cli]) -> None:
    here, there = both
    for number in (1, 2):
        here.ok("send", "order.changed", "--id", f"e{number}", "--subject", "SO-1", "--data", f'{{"n": {number}}}')
    told = here.ok("events", "history", "SO-1")
    assert [line.split("  ", 1)[1] for line in told.splitlines()] == [
        "order.changed  SO-1  e1",
        "order.changed  SO-1  e2",
        "  /n: 1 -> 2",
    ]
    assert there.ok("events", "history", "SO-1") == told
    assert len(there.json("events", "history", "SO-1", "--all")["items"]) == 2


def test_branches_are_drawn_below_each_other() -> None:
    from server.cli.events import _branch

    def node(name: str, *children: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "kind": "event",
            "name": name,
            "id": name,
            "state": None,
            "details": {},
            "children": list(children),
        } | more

    tries = {"kind": "delivery", "state": "dead", "details": {"attempts": 1, "reason": "exhausted"}}
    draw: Callable[..., list[str]] = lambda *given: list(_branch(*given))  # noqa: E731
    assert draw(node("a", node("b", node("c")), node("d", **tries)), "c", "", "") == [
        "event  a  a",
        "├─ event  b  b",
        "│  └─ event  c  c  <- asked for",
        "└─ delivery  d  dead  after 1 try  exhausted  d",
    ]
