from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import psutil
import psycopg
import pytest
import redis

from server.runtime.home import Home, Run
from server.runtime.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Up:
    """A `run_up` in a process of its own."""

    def __init__(self, home: Path, *, port: int | None = None, workers: int = 1, **env: str) -> None:
        self.home = Home(home)
        self.port = port or free_port()
        self.out: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 (the fixture closes it)
        self.log: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [sys.executable, "-m", "tests.support.dummy_up", str(home), str(self.port), str(workers)]
        self.process = subprocess.Popen(command, stdout=self.out, stderr=self.log, env=os.environ | env, text=True)

    def ready(self) -> Run:
        wait_for(lambda: "Crossdock is ready" in self.said() or self.process.poll() is not None, 60)
        run = self.home.running()
        assert run is not None, self.said() + self.logged()
        return run

    def said(self) -> str:
        return read(self.out)

    def logged(self) -> str:
        return read(self.log)

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.logged().splitlines() if line.startswith("{")]

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(25)


def read(file: IO[str]) -> str:
    """Read all of a file that a process writes to, without moving the place at which it writes: that is shared with it."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="crossdock-test-") as folder:
        yield Path(folder) / "home"


@pytest.fixture
def up(home: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(**options: object) -> Up:
        started.append(Up(home, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
        each.out.close()
        each.log.close()


def wait_for(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def tree(pid: int) -> list[int]:
    return [each.pid for each in psutil.Process(pid).children(recursive=True)]


def answers(url: str) -> bool:
    try:
        psycopg.connect(url.replace("+psycopg", ""), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def pings(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_up_says_how_to_use_it_and_ends_in_order_on_sigterm(up: Callable[..., Up]) -> None:
    server = up(workers=2)
    run = server.ready()
    assert set(run.pids) == {"postgresql", "redis", "api", "worker-1", "worker-2"}
    assert run.url == f"http://127.0.0.1:{server.port}"
    said = server.said()
    assert run.url in said
    assert "Admin token: cdk_token" in said
    assert "2 definitions applied" in said
    assert len([line for line in said.splitlines() if line.startswith("  ")]) == 4
    everything = tree(server.process.pid)
    assert len(everything) > 8
    began = time.monotonic()
    assert server.end() == 0
    assert time.monotonic() - began < 20
    assert not [pid for pid in everything if alive(pid)]
    assert server.home.running() is None
    assert not server.home.run_file.exists()


def test_the_second_start_takes_less_than_five_seconds(up: Callable[..., Up]) -> None:
    """Of processor time in all, so that it is true while others use the machine too."""
    first = up()
    first.ready()
    first.end()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    second = up()
    second.ready()
    second.end()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 5


def test_a_kill_9_of_the_supervisor_leaves_no_orphan_and_the_next_one_starts(up: Callable[..., Up]) -> None:
    server = up(workers=2)
    server.ready()
    everything = tree(server.process.pid)
    careless = [pid for pid in everything if "time.sleep(1000)" in psutil.Process(pid).cmdline()[-1]]
    server.process.kill()
    server.process.wait()
    wait_for(lambda: not [pid for pid in everything if alive(pid) and pid not in careless])
    for pid in careless:  # what a child starts without a thought outlives a kill -9; granian's workers do not
        os.kill(pid, signal.SIGKILL)
    again = up()
    again.ready()
    assert again.end() == 0


def test_forked_processes_have_nothing_of_the_supervisor_open_and_come_back_at_once(up: Callable[..., Up]) -> None:
    server = up(FORKED="1")
    run = server.ready()
    wait_for(lambda: '"forked"' in server.logged())
    (line,) = [each for each in server.lines() if each["event"] == "forked"]
    assert line["name"] == "worker-1"
    assert line["session"]
    assert line["secret"] == "postgresql"
    assert len(line["files"]) <= 1  # standard input of its own
    os.kill(run.pids["worker-1"], signal.SIGKILL)
    wait_for(lambda: worker_of(server) not in (0, run.pids["worker-1"]))
    everything = tree(server.process.pid)
    server.process.kill()
    server.process.wait()
    wait_for(lambda: not [pid for pid in everything if alive(pid)])


def test_a_failed_migration_ends_it_with_its_error(up: Callable[..., Up]) -> None:
    server = up(MIGRATION_FAILS="1")
    assert server.process.wait(30) == 1
    assert "the database refused" in server.logged()
    assert "Crossdock is ready" not in server.said()


def test_what_is_killed_comes_back_and_nothing_else_is_touched(up: Callable[..., Up]) -> None:
    server = up()
    run = server.ready()
    for name in ("api", "worker-1", "postgresql", "redis"):
        before = run
        os.kill(before.pids[name], signal.SIGKILL)
        wait_for(lambda name=name, old=before.pids[name]: pid_of(server, name) not in (0, old))
        now = server.home.running()
        assert now is not None
        assert now.database_url == run.database_url
        assert now.pids | {name: 0} == before.pids | {name: 0}
        wait_for(lambda run=now: answers(run.database_url) and pings(run.redis_url))
        run = now
    server.end()


def pid_of(server: Up, name: str) -> int:
    run = server.home.running()
    return run.pids.get(name, 0) if run else 0


def worker_of(server: Up) -> int:
    return pid_of(server, "worker-1")


def test_what_keeps_exiting_is_started_again_ever_more_slowly(up: Callable[..., Up]) -> None:
    server = up()
    server.ready()
    for _ in range(3):
        old = worker_of(server)
        os.kill(old, signal.SIGKILL)
        wait_for(lambda old=old: worker_of(server) not in (0, old))
    pauses = [line["again_in"] for line in server.lines() if line.get("event") == "process ended"]
    assert pauses == [0.5, 1.0, 2.0]
    server.end()


def test_a_process_that_does_not_end_is_killed_when_its_time_is_over(up: Callable[..., Up]) -> None:
    server = up(STUBBORN="1")
    run = server.ready()
    time.sleep(0.5)
    began = time.monotonic()
    assert server.end() == 0
    assert 1.0 <= time.monotonic() - began < 10
    assert not alive(run.pids["stubborn"])


def test_a_second_signal_does_not_wait(up: Callable[..., Up]) -> None:
    server = up(STUBBORN="1")
    server.ready()
    everything = tree(server.process.pid)
    server.process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    server.process.send_signal(signal.SIGINT)
    began = time.monotonic()
    server.process.wait(20)
    assert time.monotonic() - began < 5
    assert not [pid for pid in everything if alive(pid)]


def test_a_signal_while_starting_ends_it(up: Callable[..., Up]) -> None:
    server = up()
    wait_for(lambda: "starting" in server.said())
    everything = tree(server.process.pid)
    assert server.end() == 0
    assert not [pid for pid in everything if alive(pid)]


def test_two_on_one_home_do_not_fight(up: Callable[..., Up]) -> None:
    server = up()
    run = server.ready()
    other = up()
    assert other.process.wait(30) == 1
    assert re.search(rf"is in use: process {server.process.pid} works there and serves {run.url}", other.logged())
    assert server.home.running() == run
    server.end()


def test_a_port_in_use_is_named_with_the_way_out_before_anything_is_started(up: Callable[..., Up], home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = up(port=port)
        assert server.process.wait(30) == 1
    assert f"port {port} on 127.0.0.1 is in use" in server.logged()
    assert f"--port {port + 1}" in server.logged()
    assert not (home / "postgres").exists()


def test_run_json_is_private(up: Callable[..., Up]) -> None:
    server = up()
    server.ready()
    assert stat.S_IMODE(server.home.run_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.home.folder.stat().st_mode) == 0o700
    server.end()


def test_a_database_of_ones_own_is_used_and_none_is_started(up: Callable[..., Up], database_url: str) -> None:
    server = up(DATABASE_URL=database_url)
    run = server.ready()
    assert run.database_url == database_url
    assert "postgresql" not in run.pids
    server.end()
    assert answers(database_url)
