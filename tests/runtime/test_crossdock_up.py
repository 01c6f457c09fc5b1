from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from server.runtime.home import Home
from server.runtime.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.serial
CROSSDOCK = Path(sys.executable).with_name("crossdock")


class Server:
    """The real `crossdock up`."""

    def __init__(self, folder: Path, port: int) -> None:
        self.home = Home(folder / "home")
        self.out, self.err = folder / "out", folder / "err"
        env = os.environ | {"CROSSDOCK_HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1"}
        command = [str(CROSSDOCK), "up", "--port", str(port), "--api-processes", "2", "--definitions", str(folder)]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, env=env, cwd=folder)

    def ready(self) -> None:
        until = time.monotonic() + 100
        while "is ready" not in self.out.read_text():
            assert self.process.poll() is None, self.err.read_text()
            assert time.monotonic() < until, self.out.read_text() + self.err.read_text()
            time.sleep(0.05)

    def tree(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def running(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in processes:
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="crossdock-test-") as name:
        yield Path(name)


@pytest.mark.timeout(300)
def test_it_starts_dies_without_an_orphan_starts_again_at_once_and_ends_in_order(folder: Path) -> None:
    port = free_port()
    server = Server(folder, port)
    try:
        server.ready()
        everything = server.tree()
        assert len(everything) > 10
        server.process.kill()
        server.process.wait()
        until = time.monotonic() + 20
        while running(everything):
            assert time.monotonic() < until, running(everything)
            time.sleep(0.05)

        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        server = Server(folder, port)
        server.ready()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=10) as answer:
            assert answer.status == 200
        everything = server.tree()
        run = server.home.running()
        assert run is not None
        assert set(run.pids) == {"postgresql", "redis", "api", "worker-1", "worker-2", "scheduler"}

        began = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0
        assert time.monotonic() - began < 20
        assert running(everything) == []
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # two cores at rest give twice that in the five seconds of the promise
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 8
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
    for line in server.err.read_text().splitlines():
        shown = json.loads(line)
        assert shown["process"] in {
            "supervisor",
            "migration",
            "first-steps",
            "api",
            "worker-1",
            "worker-2",
            "scheduler",
        }
        assert "Traceback" not in line
