"""The product as it runs in production: API, worker and scheduler processes of their own on one PostgreSQL and one Redis.

Each is the real command (`crossdock api|worker|scheduler`), so that a signal hits what it hits there. A fleet knows them by
name (`api-1`, `worker-2`, …): `kill`, `end` and `start` one of them again. `strange` names those that are started as
`tests.support.strange` with options, from their next start on. `product` is the same instance in this process, to make webhooks
and tokens with; `rows` looks into the database past everything.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import psutil
import psycopg
import redis
import requests

from server.access import tokens
from server.access.authentication import local_admin
from server.runtime.ports import free_port
from server.runtime.processes import spawn
from server.store.migrate import upgrade
from tests.support.product import Product, until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence

    from server.runtime.embedded import EmbeddedPostgres, EmbeddedRedis
    from server.store import Scope

START_SECONDS = 60.0
_ROOT = Path(__file__).parents[2]
_LISTENING = b"blmove"  # the command in which a worker waits for hints


class Fleet:
    """Use as a context manager: inside, every process is at work."""

    def __init__(
        self,
        postgres: EmbeddedPostgres,
        redis_server: EmbeddedRedis,
        folder: Path,
        *,
        apis: int = 2,
        workers: int = 2,
        schedulers: int = 2,
        strange: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.postgres = postgres
        self.redis = redis_server
        self.folder = folder
        self.ports = {f"api-{number}": free_port() for number in range(1, apis + 1)}
        self.workers = [f"worker-{number}" for number in range(1, workers + 1)]
        self.schedulers = [f"scheduler-{number}" for number in range(1, schedulers + 1)]
        self.strange = dict(strange or {})
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: list[IO[bytes]] = []
        upgrade(postgres.url)
        self.product = Product(postgres.url, redis_server.url)

    def __enter__(self) -> Self:
        try:
            self.start(*self.ports, *self.workers, *self.schedulers)
            self.ready()
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
        self.product.close()

    @property
    def urls(self) -> list[str]:
        """The addresses of the API processes, also of those that are dead now."""
        return [f"http://127.0.0.1:{port}" for port in self.ports.values()]

    def start(self, *names: str) -> None:
        """Start processes that have ended again; `ready` waits for them."""
        for name in names:
            self._spawn(name)

    def mend(self) -> None:
        """Start again whatever has ended, and forget connections to a database that has."""
        self.product.close()
        self.start(*self.dead())
        self.ready()

    def kill(self, name: str) -> None:
        """Kill -9 a process, and with it its children."""
        self.processes[name].kill()
        self.processes[name].wait(10)

    def end(self, name: str, seconds: float = 30.0) -> float:
        """Ask a process to end; return the seconds that it took. It must end well."""
        started = time.monotonic()
        self.processes[name].send_signal(signal.SIGTERM)
        assert self.processes[name].wait(seconds) == 0, self.log(name)
        return time.monotonic() - started

    def dead(self) -> list[str]:
        """Return the names of processes that have ended."""
        return [name for name, process in self.processes.items() if process.poll() is not None]

    def ready(self) -> None:
        """Wait until every process says of itself that it is at work."""
        until(self._ready, START_SECONDS, f"every process at work; ended: {self.dead()}")

    def listening(self) -> int:
        """Return how many workers wait for hints at this moment; 0 while Redis is away."""
        try:
            with redis.Redis.from_url(self.redis.url, socket_timeout=1) as client:
                return sum(each["cmd"].encode() == _LISTENING for each in client.client_list())
        except (redis.RedisError, OSError):
            return 0

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Look into the database as its superuser, over a connection of its own."""
        with self.postgres.connect("crossdock") as connection:
            return connection.execute(sql.encode(), values).fetchall()

    def leased(self) -> set[tuple[Any, int]]:
        """Return (delivery, epoch) of everything that is claimed now."""
        return set(self.rows("SELECT ref, epoch FROM due WHERE kind = 'delivery' AND leased AND due_at > now()"))

    def memory(self) -> dict[str, int]:
        """Return the resident bytes of each process that runs: of the largest, where it has children."""
        found = {}
        for name, process in self.processes.items():
            try:
                parent = psutil.Process(process.pid)
                found[name] = max(each.memory_info().rss for each in (parent, *parent.children(recursive=True)))
            except psutil.NoSuchProcess:
                continue
        return found

    def token(self, scope: Scope | None = None) -> str:
        """Make a token that may publish."""
        scope = scope or self.product.scope
        with self.product.tx(scope) as tx:
            return tokens.create(tx, local_admin(self.product.core.engine, str(scope)), name="t", role="operator")[1]

    def log(self, name: str) -> str:
        """Return what a process has said."""
        return (self.folder / f"{name}.log").read_text()

    def _spawn(self, name: str) -> None:
        role = name.partition("-")[0]
        command = [sys.executable, "-m", "server.cli.main", role]
        if name in self.strange:
            command = [sys.executable, "-m", "tests.support.strange", role, *self.strange[name]]
        if role == "api":
            command += ["--port", str(self.ports[name])]
        log = (self.folder / f"{name}.log").open("ab")
        self._logs.append(log)
        settings = self.product.settings
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(_ROOT),
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "CROSSDOCK_KEYS": settings.keys,
            "CROSSDOCK_HOME": str(self.folder / "home"),
            "CROSSDOCK_ALLOW_NETWORKS": "127.0.0.0/8",
            "CROSSDOCK_PROCESS": name,
        }
        self.processes[name] = spawn(command, env=env, output=log)

    def _ready(self) -> bool:
        for name in self.dead():
            raise AssertionError(f"{name} has ended:\n{self.log(name)[-3000:]}")
        pids = {self.processes[name].pid for name in (*self.workers, *self.schedulers)}
        try:
            seen = self.rows("SELECT pid FROM processes WHERE seen_at > now() - interval '4 seconds'")
            ready = all(requests.get(f"{url}/health/ready", timeout=5).ok for url in self.urls)
        except (psycopg.OperationalError, requests.RequestException):
            return False
        return ready and pids <= {pid for (pid,) in seen} and self.listening() == len(self.workers)
