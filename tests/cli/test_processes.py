"""The command line as processes: roles that serve and stop, Ctrl-C, a terminal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import pytest
import requests

from server.runtime.ports import free_port
from tests.cli.conftest import Cli

CROSSDOCK = [sys.executable, "-m", "server.cli.main"]


@pytest.fixture
def env(settings):
    return os.environ | {
        "CROSSDOCK_HOME": str(settings.home),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "CROSSDOCK_KEYS": settings.keys,
    }


@contextmanager
def process(*arguments, env, log):
    with log.open("wb") as output:
        child = subprocess.Popen([*CROSSDOCK, *arguments], env=env, stdout=output, stderr=output)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def wait_for(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def stops(child, seconds):
    child.send_signal(signal.SIGTERM)
    return child.wait(seconds)


def test_each_role_serves_and_stops(env, settings, tmp_path, local):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    token = local.json("token", "create", "--role", "admin")["token"]

    def alive():
        try:
            return requests.get(f"{url}/health/live", timeout=2).ok
        except requests.ConnectionError:
            return False

    def at_work():
        return sum("is at work" in (tmp_path / name).read_text() for name in ("worker", "scheduler")) == 2

    with (
        process("api", "--port", str(port), env=env, log=tmp_path / "api") as api,
        process("worker", env=env, log=tmp_path / "worker") as worker,
        process("scheduler", env=env, log=tmp_path / "scheduler") as scheduler,
    ):
        wait_for(alive)
        wait_for(at_work)
        there = Cli({"CROSSDOCK_URL": url, "CROSSDOCK_TOKEN": token})
        sent = there.json("send", "a.b", "--data", '{"total": 1500.00}')
        assert local.json("events", "show", sent["id"]) == there.json("events", "show", sent["id"])
        taken = subprocess.run(
            [*CROSSDOCK, "api", "--port", str(port)], env=env, capture_output=True, text=True, check=False, timeout=60
        )
        assert (taken.returncode, taken.stderr.split()[0]) == (4, "PORT_IN_USE")
        assert [stops(child, 20) for child in (api, worker, scheduler)] == [0, 0, 0]


@pytest.mark.parametrize("role", ["api", "worker", "scheduler"])
def test_a_role_without_a_database_says_so(cli, role):
    result = cli(role)
    assert result.exit_code == 6
    assert "NOT_RUNNING" in result.stderr


def test_ctrl_c_ends_with_130(tmp_path):
    command = [*CROSSDOCK, "send", "a.b", "--data", "-"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with child:
        time.sleep(2.0)
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 130
        assert b"Traceback" not in child.stderr.read()


def test_debug_shows_where_it_broke(cli):
    assert "Traceback" in cli("events", CROSSDOCK_LOG_LEVEL="debug").stderr


def on_terminal(*arguments, env, answers=()):
    """Run a command on a terminal of its own, answer each prompt, and return (exit code, what the terminal showed)."""
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [*CROSSDOCK, *arguments],
        env=env | {"TERM": "xterm", "COLUMNS": "200"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    shown, left = b"", list(answers)
    with suppress(OSError):  # the terminal's other end is closed
        while piece := os.read(master, 65_536):
            shown += piece
            if shown.endswith(b": ") and left:
                os.write(master, left.pop(0).encode() + b"\n")
    os.close(master)
    return child.wait(60), shown.decode()


def test_a_terminal_gets_a_table_whose_cells_are_plain(env, local):
    local.ok("send", "a.b", "--data", "1", "--subject", "[bold]x[/bold] \x1b[2J".replace("\x1b", "%"))
    code, shown = on_terminal("events", env=env)
    assert code == 0
    assert "[bold]x[/bold] %[2J" in shown
    assert "─" in shown


def test_a_person_is_asked_for_a_secret_without_seeing_it_and_before_what_cannot_be_undone(env, local):
    code, shown = on_terminal("secret", "set", "KEY", env=env, answers=["the-value", "the-value"])
    assert (code, "KEY is set" in shown) == (0, True)
    assert "the-value" not in shown
    code, shown = on_terminal("secret", "delete", "KEY", env=env, answers=["n"])
    assert code == 130
    assert [each["name"] for each in local.json("secret")["items"]] == ["KEY"]
