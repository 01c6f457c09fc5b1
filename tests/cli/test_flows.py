"""`crossdock flow`: from the file to a run that is seen and ended, the same in this process and over HTTP."""

from __future__ import annotations

import pytest

from server.cli.flow_runs import _bar, _hints, _why
from tests.cli.conftest import Cli

FLOW = """\
kind: Flow
name: deal-check
idempotency_key: data.number
steps:
  - {id: noted, set: {number: data.number}}
  - {id: allowed, approve: {message: "May {{ data.number }} go on?"}}
"""


@pytest.fixture
def both(local, served, tmp_path):
    folder = tmp_path / "definitions"
    folder.mkdir()
    (folder / "flow.yaml").write_text(FLOW, "utf-8")
    local.ok("apply", str(folder))
    token = local.json("token", "create", "--role", "admin")["token"]
    return local, Cli({"CROSSDOCK_URL": served, "CROSSDOCK_TOKEN": token})


def test_a_run_is_started_once_seen_drawn_and_cancelled(both):
    here, there = both
    run = here.ok("flow", "start", "deal-check", "--data", '{"number": "SO-1"}').strip()
    again = there("flow", "start", "deal-check", "--data", '{"number": "SO-1"}')
    assert (again.stdout.strip(), "nothing was started" in again.stderr) == (run, True)
    for command in (
        ("flow",),
        ("flow", "show", "deal-check"),
        ("flow", "graph", "deal-check"),
        ("flow", "runs"),
        ("flow", "runs", "deal-check", "--key", "SO-1", "--json"),
        ("flow", "show", run),
        ("flow", "show", run, "--json"),
        ("flow", "graph", run),
        ("flow", "show", "run_nothing"),
        ("flow", "approve", run, "allowed"),
        ("flow", "retry", run),
        ("flow", "undo", run),
    ):
        one, other = here(*command), there(*command)
        assert (one.exit_code, one.stdout, one.stderr) == (other.exit_code, other.stdout, other.stderr), command
    assert "flowchart TD" in here.ok("flow", "graph", "deal-check")
    assert "queued" in here.ok("flow", "show", run)
    assert "cancelled" in there.ok("flow", "cancel", run)
    assert here("flow", "start", "deal-check", "--data", '{"number": "SO-1"}').stdout.strip() != run, "its key is free"


def test_a_flow_is_paused_and_resumed(both):
    here, _ = both
    here.ok("flow", "pause", "deal-check", "--reason", "a test")
    assert "paused" in here.ok("flow")
    here.ok("flow", "start", "deal-check", "--data", '{"number": "SO-2"}')
    assert here.json("flow", "resume", "deal-check")["state"] == "active"


@pytest.mark.parametrize(
    ("began", "ended", "bar"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:24Z", "#" * 24),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "#" + "." * 23),
        ("2026-01-01T00:00:12Z", "2026-01-01T00:00:18Z", "." * 12 + "#" * 6 + "." * 6),
        ("2026-01-01T00:00:24Z", None, "." * 23 + "#"),
    ],
)
def test_a_bar_shows_when_a_step_was_at_work(began, ended, bar):
    start = 1767225600.0
    assert _bar({"began_at": began, "ended_at": ended}, start, start + 24) == bar


@pytest.mark.parametrize(
    ("state", "waits", "words"),
    [
        ("failed", None, "`crossdock flow retry run_1`"),
        ("compensation_failed", None, "undoes the rest"),
        ("compensated", None, "`crossdock flow start f --data"),
        ("waiting", {"message": "May it?"}, "`crossdock flow approve run_1 ok`"),
    ],
)
def test_a_run_that_needs_a_person_says_what_can_be_done(state: str, waits: object, words: str) -> None:
    (hint,) = _hints({"id": "run_1", "flow": "f", "state": state, "steps": [{"path": "ok", "waits": waits}]})
    assert words in hint


@pytest.mark.parametrize(
    ("details", "why"),
    [
        ({"pointer": ["lines", 0, "sku"]}, "EXPR_MISSING lines.0.sku: a value is required"),
        ({"pointer": "/lines"}, "EXPR_MISSING a value is required"),
        ({}, "EXPR_MISSING a value is required"),
        (None, "EXPR_MISSING a value is required"),
    ],
)
def test_what_a_map_lacks_is_said_with_its_place(details: object, why: str) -> None:
    error = {"code": "EXPR_MISSING", "message": "a value is required", "details": details}
    assert _why({"undo_error": None, "error": error}) == why


def test_a_run_that_is_well_asks_for_nothing() -> None:
    assert _hints({"id": "run_1", "flow": "f", "state": "completed", "steps": [{"path": "ok", "waits": None}]}) == []


def test_a_wait_that_runs_out_is_told_from_a_run_that_failed(local, tmp_path):
    (tmp_path / "flow.yaml").write_text(FLOW, "utf-8")
    local.ok("apply", str(tmp_path))
    result = local("flow", "start", "deal-check", "--data", '{"number": "SO-1"}', "--wait", "0s")
    assert (result.exit_code, "the run goes on" in result.stderr) == (8, True)


def test_data_that_the_flow_does_not_take_is_refused_with_its_place_and_code(local, tmp_path):
    wants = "input: {type: object, properties: {deals: {type: integer}}}\nsteps:"
    (tmp_path / "flow.yaml").write_text(FLOW.replace("steps:", wants), "utf-8")
    local.ok("apply", str(tmp_path))
    result = local("flow", "start", "deal-check", "--data", '{"number": "SO-1", "deals": "x"}')
    assert result.exit_code == 1
    assert '/deals: the value is not of type "integer" (SCHEMA_VIOLATION)' in result.stderr
