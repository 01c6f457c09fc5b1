"""What every embedded server is: one program in one folder, found again and ended whatever happened before."""

from __future__ import annotations

import importlib.util
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import structlog

from server.kernel.errors import Unavailable, code
from server.runtime.processes import end_all, end_child, processes_in

if TYPE_CHECKING:
    import signal
    import subprocess
    from collections.abc import Callable, Sequence

SERVER_FAILED = code(
    "EMBEDDED_SERVER_FAILED",
    "PostgreSQL or Redis of the embedded default did not start; its log is named in `details`.",
)
_log = structlog.get_logger(__name__)


class EmbeddedServer(ABC):
    """One server in one folder. `start` and `restart` belong to a thread that lives as long as the server shall."""

    name: ClassVar[str]
    programs: ClassVar[tuple[str, ...]]
    steps: ClassVar[Sequence[tuple[signal.Signals, float]]]
    """How it is ended: signals, and the seconds that each has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.child: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients find it."""

    @property
    @abstractmethod
    def data(self) -> Path:
        """The server's working directory, by which it is recognized."""

    @property
    @abstractmethod
    def log(self) -> Path:
        """The file to read when it does not start."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make what is missing in the folder."""

    @abstractmethod
    def _launch(self) -> subprocess.Popen[bytes]:
        """Start the program."""

    @abstractmethod
    def _answers(self) -> bool:
        """Say whether it takes commands."""

    @property
    def pid(self) -> int | None:
        """The number of the running process."""
        return self.child.pid if self.child is not None and self.child.poll() is None else None

    def start(self, timeout: float = 30.0, cancelled: Callable[[], bool] = lambda: False) -> str:
        """Start it and return its URL once it takes commands, or `cancelled` says that nobody wants it any more.

        Raises:
            Unavailable: it did not within `timeout` seconds, or ended.

        """
        child = self.begin()
        until = time.monotonic() + timeout
        while not (self._answers() or cancelled()):
            if child.poll() is not None:
                raise self.failed(f"{self.name} ended with status {child.returncode} while starting")
            if time.monotonic() > until:
                self.stop()
                raise self.failed(f"{self.name} did not answer within {timeout:g} s")
            time.sleep(0.02)
        return self.url

    def begin(self) -> subprocess.Popen[bytes]:
        """Start it and do not wait until it takes commands: how it comes back after it has died."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.end_strays()
        self._prepare()
        self.child = self._launch()
        return self.child

    def stop(self, seconds: float = 10.0) -> None:
        """End it in good order, by force after `seconds`, and what a kill -9 of its main process left."""
        if self.child is not None:
            end_child(self.child, ((self.steps[0][0], seconds), *self.steps[1:]))
            self.child = None
        self.end_strays()

    def end_strays(self) -> None:
        """End every process of this server's kind that works in our folder."""
        strays = processes_in(self.data, self.programs)
        if strays:
            pids = sorted(each.pid for each in strays)
            _log.info("ending what an earlier run has left", server=self.name, pids=pids)
            end_all(strays, self.steps)

    def failed(self, message: str) -> Unavailable:
        """Make the error, with the last lines of the server's log."""
        lines = self.log.read_text(errors="replace").splitlines()[-5:] if self.log.is_file() else []
        told = "".join(f"\n  {line}" for line in lines)
        return Unavailable(f"{message}; see {self.log}{told}", code=SERVER_FAILED, source=self.name, log=str(self.log))


def package_folder(package: str) -> Path:
    """Return the folder of an installed package without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise Unavailable(f"the package {package} is not installed; `make install` does", code=SERVER_FAILED)
    return Path(spec.origin).parent
