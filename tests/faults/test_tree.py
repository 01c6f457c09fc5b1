"""F7: `crossdock up` with everything that belongs to it is killed at once, and started again with the same command."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests

from server.runtime.home import Home
from server.runtime.ports import free_port
from tests.faults import figures
from tests.faults.burst import Burst, Site, type_of
from tests.faults.forms import EVENTS, RECOVER_SECONDS, Form
from tests.faults.history import NOTHING
from tests.support.product import until

if TYPE_CHECKING:
    from collections.abc import Iterator

CROSSDOCK = Path(sys.executable).with_name("crossdock")
START_SECONDS = 60.0
IN_FLIGHT = 50


class Tree:
    """The real `crossdock up` on a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = Home(folder / "home")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.out = folder / "out"

    def start(self) -> None:
        """Give the command."""
        env = os.environ | {"CROSSDOCK_HOME": str(self.home.folder), "PYTHONUNBUFFERED": "1"}
        command = [str(CROSSDOCK), "up", "--port", str(self.port)]
        with self.out.open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=env, cwd=self.folder)

    def ready(self) -> float:
        """Wait until it says that it is ready; return the seconds."""
        started, before = time.monotonic(), self.out.read_text().count("is ready")
        until(lambda: self.out.read_text().count("is ready") > before, START_SECONDS, "it is ready")
        return time.monotonic() - started

    def kill(self) -> int:
        """Kill -9 everything at once, as far as that goes; return how many processes it was."""
        tree = [*psutil.Process(self.process.pid).children(recursive=True), psutil.Process(self.process.pid)]
        for each in tree:
            each.suspend()  # so that nobody restarts anybody, and nobody is told
        for each in tree:
            each.kill()
        self.process.wait(10)
        psutil.wait_procs(tree, timeout=10)
        return len(tree)

    def token(self) -> str:
        """Return the admin token that the first start has shown."""
        lines = [line for line in self.out.read_text().splitlines() if line.startswith("Admin token: ")]
        return lines[0].removeprefix("Admin token: ").strip()

    def post(self, path: str, body: Any) -> None:
        """Make something over REST."""
        headers = {"Authorization": f"Bearer {self.token()}"}
        answer = requests.post(self.url + path, json=body, headers=headers, timeout=20)
        assert answer.ok, answer.text

    def owed(self) -> int:
        """Return how many deliveries are not delivered."""
        headers = {"Authorization": f"Bearer {self.token()}"}
        answer = requests.get(f"{self.url}/api/v1/deliveries?state=pending", headers=headers, timeout=20)
        return len(answer.json()["items"])


@pytest.fixture
def tree() -> Iterator[Tree]:
    with tempfile.TemporaryDirectory(prefix="crossdock-test-") as name:
        tree = Tree(Path(name))
        try:
            yield tree
        finally:
            if tree.process.poll() is None:
                tree.kill()


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_f7_the_whole_tree_killed_starts_again_by_itself_and_loses_nothing(tree: Tree, site: Site) -> None:
    form = Form(
        max(EVENTS // 2, 300), max(25.0, EVENTS / 200), 5
    )  # one core is busy with starting for half of the time
    tree.start()
    first = tree.ready()
    tree.post(
        "/api/v1/webhooks",
        {
            "name": "receiver",
            "direction": "outbound",
            "url": f"{site.url}/receiver",
            "events": [type_of("tree")],
            "max_in_flight": IN_FLIGHT,
            "retry": {"schedule": ["1s"] * 20},
        },
    )
    burst = Burst(site, [tree.url], tree.token(), "tree", count=form.count, rate=form.rate, path="/receiver")
    starts, flowing, killed = [], [], 0
    for share in form.shares:
        burst.progress(share)
        with burst.fault("kill -9"):
            killed += tree.kill()
            tree.start()
            again = time.monotonic()
            starts.append(tree.ready())
        until(lambda moment=again: burst.first_hit_after(moment) < START_SECONDS, 20, "deliveries flow again")
        flowing.append(burst.first_hit_after(again))
    burst.sent()
    burst.arrived()
    until(lambda: tree.owed() == 0, 30, "nothing is owed")
    verdict = burst.judge()
    bound = 5 * IN_FLIGHT
    figures.note(
        figures.of(
            "F7",
            "5 kills of the tree",
            verdict,
            bound,
            max(flowing),
            processes_killed=killed,
            first_start_s=first,
            slowest_start_s=max(starts),
        ),
        burst.records(),
    )
    assert (verdict.accepted, verdict.sound) == (form.count, NOTHING)
    assert verdict.duplicates <= bound
    assert max(flowing) <= RECOVER_SECONDS
    assert tree.home.running() is not None
