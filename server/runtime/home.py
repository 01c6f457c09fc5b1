"""CROSSDOCK_HOME: who uses it (a lock), and where the running server is (`run.json`).

The lock is an flock of the kernel: it goes with its process, however that ends, so no lock is ever stale.
`run.json` counts only while the lock is held.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from server.kernel.errors import Conflict, code
from server.runtime.embedded import EmbeddedPostgres, EmbeddedRedis
from server.runtime.files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server.config import Settings

HOME_IN_USE = code("HOME_IN_USE", "Another process works on this CROSSDOCK_HOME; `details` has its process id.")
HOME_UNUSABLE = code("HOME_UNUSABLE", "CROSSDOCK_HOME is no folder that this user can write to.")


@dataclass(frozen=True, slots=True)
class Run:
    """The server that runs on a home: the content of `run.json`."""

    pid: int
    url: str
    database_url: str
    redis_url: str
    pids: dict[str, int] = field(default_factory=dict)


class Home:
    """The folder of the embedded default."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    @property
    def run_file(self) -> Path:
        """Where the running server says how to find it."""
        return self.folder / "run.json"

    @contextmanager
    def lock(self, wait: float = 0.0) -> Iterator[None]:
        """Be the one that works here.

        Raises:
            Conflict: another process does, and still did after `wait` seconds; or we may not write there.

        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            number = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Conflict(
                f"cannot work in {self.folder}: {error.strerror}; name another folder with CROSSDOCK_HOME",
                code=HOME_UNUSABLE,
                home=str(self.folder),
            ) from error
        try:
            until = time.monotonic() + wait
            while not _take(number):
                if time.monotonic() >= until:
                    raise self._in_use(os.pread(number, 32, 0).decode().strip())
                time.sleep(0.05)
            os.ftruncate(number, 0)
            os.pwrite(number, f"{os.getpid()}\n".encode(), 0)
            self.run_file.unlink(missing_ok=True)  # what an earlier one left behind
            yield
        finally:
            os.close(number)

    def publish(self, run: Run) -> None:
        """Write `run.json`: from now on commands find the server."""
        write_private(self.run_file, json.dumps(asdict(run)))

    def running(self) -> Run | None:
        """Return the running server; None when there is none, or it is still starting."""
        if not self._is_locked():
            return None
        try:
            return Run(**json.loads(self.run_file.read_text()))
        except FileNotFoundError:
            return None

    def _is_locked(self) -> bool:
        try:
            number = os.open(self.folder / "lock", os.O_RDWR)
        except OSError:  # no such file, or not ours: then it is not our server either
            return False
        try:
            return not _take(number)
        finally:
            os.close(number)

    def _in_use(self, pid: str) -> Conflict:
        run = self.running()
        where = f" and serves {run.url}" if run else ""
        return Conflict(
            f"{self.folder} is in use: process {pid or 'unknown'} works there{where}. "
            f"Stop it (kill {pid or 'PID'}), or name another folder with CROSSDOCK_HOME",
            code=HOME_IN_USE,
            pid=int(pid) if pid.isdigit() else None,
            home=str(self.folder),
        )


@contextmanager
def local_servers(settings: Settings, wait: float = 60.0) -> Iterator[Settings]:
    """Give a command its database and Redis: those of the settings, those of the running server, or its own while it runs.

    Commands that need servers of their own take turns, waiting up to `wait` seconds.

    Raises:
        Conflict: the home was in use for that long and no server had appeared.
        Unavailable: an embedded server did not start.

    """
    if settings.database_url and settings.redis_url:
        yield settings
        return
    with ExitStack() as stack:
        yield _find_or_start(settings, stack, time.monotonic() + wait)


def _find_or_start(settings: Settings, stack: ExitStack, until: float) -> Settings:
    home = Home(settings.home)
    while True:
        run = home.running()
        if run is not None:
            return _with_urls(settings, run.database_url, run.redis_url)
        try:
            stack.enter_context(home.lock())
        except Conflict as error:
            if error.code != HOME_IN_USE or time.monotonic() > until:
                raise
            time.sleep(0.1)
            continue
        urls = []
        for server in embedded(settings):
            if server is not None:
                stack.callback(server.stop)
            urls.append(server.start() if server else "")
        return _with_urls(settings, *urls)


def embedded(settings: Settings) -> tuple[EmbeddedPostgres | None, EmbeddedRedis | None]:
    """Return the embedded servers that the settings need, not started."""
    home = settings.home.resolve()
    return (
        None if settings.database_url else EmbeddedPostgres(home / "postgres"),
        None if settings.redis_url else EmbeddedRedis(home / "redis"),
    )


def _with_urls(settings: Settings, database_url: str, redis_url: str) -> Settings:
    return replace(
        settings,
        database_url=settings.database_url or database_url,
        redis_url=settings.redis_url or redis_url,
    )


def _take(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
