"""The product as it runs on one machine, for benchmarks: its servers with fsync on, API, workers, scheduler, and a receiver.

Every process is the real command. `Rig` is a context manager with data of its own that go away with it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import psutil
import requests

from server.access import tokens
from server.access.authentication import local_admin
from server.kernel.ids import new_uuid
from server.runtime.embedded import DURABLE, EmbeddedPostgres, EmbeddedRedis
from server.runtime.ports import free_port
from server.runtime.processes import spawn
from server.sdk.signing import generate_secret
from server.store.migrate import upgrade
from server.webhooks.aggregate import Webhook
from tests.benchmarks.load import type_of
from tests.benchmarks.receiver import HOOKS
from tests.support.product import Product

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence

    from server.store import Scope

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0


class Arrived:
    """What came to the receiver: (event, webhook) as one number each, and the moments."""

    def __init__(self, raw: bytes) -> None:
        half = len(raw) // 2
        self.keys, self.times = array("Q"), array("d")
        self.keys.frombytes(raw[:half])
        self.times.frombytes(raw[half:])

    def __len__(self) -> int:
        return len(self.keys)

    def first(self) -> dict[int, float]:
        """Return the moment at which each event came first."""
        moments: dict[int, float] = {}
        for key, moment in zip(self.keys, self.times, strict=True):
            moments.setdefault(key // HOOKS, moment)
        return moments

    def judge(self, expected: set[int]) -> dict[str, int]:
        """Return how many of the expected (event × HOOKS + webhook) were lost, repeated, or not expected."""
        came = set(self.keys)
        return {
            "lost": len(expected - came),
            "repeated": len(self.keys) - len(came),
            "unexpected": len(came - expected),
        }


class Rig:
    """One instance of the product and its surroundings."""

    def __init__(
        self,
        *,
        hooks: int = 100,
        workers: int = 1,
        postgres: Mapping[str, str] | None = None,
        start: Sequence[str] = ("api", "scheduler", "worker"),
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="crossdock-bench-"))
        self.postgres = EmbeddedPostgres(self.folder / "postgres", DURABLE | dict(postgres or {}))
        self.redis = EmbeddedRedis(self.folder / "redis")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.hooks = list(range(hooks))
        self.workers = [f"worker-{number}" for number in range(1, workers + 1)]
        self.database_url: dict[str, str] = {}
        """Another way to the database for one process, by its name."""
        self._first = start
        self._logs: list[IO[bytes]] = []
        self.api_port, self.receiver_port = free_port(), free_port()

    def __enter__(self) -> Self:
        try:
            self.postgres.start()
            self.redis.start()
            upgrade(self.postgres.url)
            self.product = Product(self.postgres.url, self.redis.url)
            command = [sys.executable, str(ROOT / "tests" / "benchmarks" / "receiver.py"), str(self.receiver_port)]
            self.processes["receiver"] = spawn(command, env=os.environ, output=self._log("receiver"))
            self.make_hooks(self.hooks)
            self.token = self.token_of(self.product.scope)
            for role in self._first:
                self.start(*(self.workers if role == "worker" else [role]))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        for log in self._logs:
            log.close()
        if hasattr(self, "product"):
            self.product.close()
        self.redis.stop()
        self.postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def receiver(self) -> str:
        return f"http://127.0.0.1:{self.receiver_port}"

    def make_hooks(
        self, hooks: Sequence[int], path: str = "hook", origin: str = "", scope: Scope | None = None
    ) -> None:
        """Make a webhook for each number: its own path, event type and secret; no map."""
        with self.product.tx(scope) as tx:
            tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
            for hook in hooks:
                secret = f"HOOK_{hook}"
                self.product.core.secrets.set(tx, secret, generate_secret())
                body = {
                    "name": f"hook-{hook}",
                    "direction": "outbound",
                    "url": f"{origin or self.receiver}/{path}/{hook}",
                    "events": [type_of(hook)],
                    "sign": {"scheme": "standard-webhooks", "key": {"secret": secret}},
                }
                webhook = Webhook(new_uuid())
                webhook.create(body["name"], body, 1, {})
                webhook.activate()
                self.product.core.webhooks.add(tx, webhook)
        with self.product.core.engine.connect() as conn:
            # What follows from each activation (release what was held: nothing) is set-up, not the delivery that is measured.
            conn.exec_driver_sql("DELETE FROM due WHERE kind = 'reaction'")

    def token_of(self, scope: Scope) -> str:
        """Make a token that may publish in a workspace."""
        with self.product.tx(scope) as tx:
            return tokens.create(tx, local_admin(self.product.core.engine, str(scope)), name="bench", role="operator")[
                1
            ]

    def start(self, *names: str) -> None:
        """Start processes of ours and wait until they are at work."""
        for name in names:
            role = name.partition("-")[0]
            command = [sys.executable, "-m", "server.cli.main", role]
            command += ["--port", str(self.api_port)] if role == "api" else []
            self.processes[name] = spawn(command, env=self._environment(name), output=self._log(name))
        self.until(lambda: all(self._at_work(name) for name in names), START_SECONDS, f"{names} at work")

    def stop(self, *names: str) -> None:
        """Ask processes of ours to end."""
        for name in names:
            process = self.processes.pop(name)
            process.terminate()
            process.wait(30)

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for a condition.

        Raises:
            SystemExit: it did not come, or a process has ended.

        """
        end = time.monotonic() + seconds
        while not condition():
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise SystemExit(f"{name} has ended:\n{self.said(name)}")
            if time.monotonic() > end:
                raise SystemExit(f"not within {seconds:g} s: {what}")
            time.sleep(0.05)

    def said(self, name: str) -> str:
        """Return the end of what a process has said."""
        return (self.folder / f"{name}.log").read_text()[-3000:]

    def cpu(self, name: str) -> float:
        """Return the seconds of CPU, user and system, that a process and its children have had."""
        process = psutil.Process(self.processes[name].pid)
        return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))

    def rss(self, name: str) -> int:
        """Return the bytes of memory that a process and its children hold."""
        process = psutil.Process(self.processes[name].pid)
        return sum(int(each.memory_info().rss) for each in (process, *process.children(recursive=True)))

    def arrivals(self) -> Arrived:
        """Return everything that came to the receiver."""
        return Arrived(requests.get(f"{self.receiver}/dump", timeout=60).content)

    def stats(self) -> dict[str, Any]:
        """Return how much came to the receiver, and over how many connections."""
        return dict(json.loads(requests.get(f"{self.receiver}/stats", timeout=10).content))

    def forget(self) -> None:
        """Let the receiver begin anew."""
        requests.get(f"{self.receiver}/reset", timeout=10)

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Look into the database as its superuser."""
        with self.postgres.connect("crossdock") as connection:
            return connection.execute(sql.encode(), values or None).fetchall()

    def do(self, sql: str) -> None:
        """Change the database as its superuser."""
        with self.postgres.connect("crossdock") as connection:
            connection.execute(sql.encode())

    def waiting(self) -> int:
        """Return how many deliveries have not ended."""
        return int(
            self.rows("SELECT count(*) FROM deliveries WHERE state NOT IN ('delivered', 'skipped', 'dead')")[0][0]
        )

    def reference(self, kind: str, seconds: float) -> dict[str, float]:
        """Run a bare loop against the receiver, beside all that runs; return its figures."""
        command = [
            sys.executable,
            str(ROOT / "tests" / "benchmarks" / "reference.py"),
            kind,
            self.receiver,
            str(seconds),
        ]
        figures = self.folder / "reference.json"
        with figures.open("wb") as out:
            process = spawn(command, env=os.environ, output=out)
            if process.wait(seconds + 30):
                raise SystemExit(f"the reference loop failed:\n{figures.read_text()}")
        found = json.loads(figures.read_text())
        self.forget()
        return {**found, "per_cpu_second": found["deliveries"] / found["cpu_seconds"]}

    def _at_work(self, name: str) -> bool:
        if name == "api":
            try:
                return requests.get(f"{self.url}/health/ready", timeout=5).ok
            except requests.RequestException:
                return False
        return bool(self.rows("SELECT 1 FROM processes WHERE pid = %s", self.processes[name].pid))

    def _log(self, name: str) -> IO[bytes]:
        log = (self.folder / f"{name}.log").open("ab")
        self._logs.append(log)
        return log

    def _environment(self, name: str) -> dict[str, str]:
        settings = self.product.settings
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": self.database_url.get(name, settings.database_url),
            "REDIS_URL": settings.redis_url,
            "CROSSDOCK_KEYS": settings.keys,
            "CROSSDOCK_HOME": str(self.folder / "home"),
            "CROSSDOCK_ALLOW_NETWORKS": "127.0.0.0/8",
            "CROSSDOCK_PROCESS": name,
        }
