"""Keeps processes running: starts them, starts again what exits, and ends all of them in order. Knows nothing of their work.

What is started dies with us, even by kill -9 (processes.py, forking.py), so no orphan stays. What exits is started again
after a pause that doubles from 0.5 s to 10 s and is forgotten once the process has lived for a while. Children write to
our standard error. As their subreaper we also inherit, and in the end kill, what they leave behind. There is one thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import psutil
import structlog

from server.kernel.errors import Unavailable
from server.runtime.forking import Forked, fork, fork_for
from server.runtime.launch import LINUX
from server.runtime.processes import end_all, spawn

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

    from server.runtime.server import EmbeddedServer

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
HEALTHY_AFTER = 30.0
"""A process that has lived for so many seconds starts anew with the first pause."""
SERVER_SECONDS = 4.0
"""What PostgreSQL and Redis each have to end in order; cut off, they lose nothing but the next start takes longer."""
_TICK = 0.1
_PR_SET_CHILD_SUBREAPER = 36
_Result = TypeVar("_Result")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Role:
    """A process that shall run: a command (the program as an absolute path) or something to call in a fork of us.

    `stop_seconds` is the time that it has to end.
    """

    name: str
    work: tuple[str, ...] | Callable[[], int]
    stop_seconds: float = 5.0


@dataclass(slots=True)
class Child:
    """A role at run time."""

    role: Role
    process: subprocess.Popen[bytes] | Forked | None = None
    started: float = 0.0
    due: float = 0.0
    exits: int = 0

    @property
    def pause(self) -> float:
        """The seconds to wait after the last exit."""
        return pause_after(self.exits)


def pause_after(exits: int) -> float:
    """Return the seconds to wait after so many exits in a row."""
    return min(FIRST_PAUSE * float(2 ** min(max(exits - 1, 0), 10)), LONGEST_PAUSE)


@dataclass(slots=True)
class _Backed:
    """An embedded server at run time."""

    server: EmbeddedServer
    url: str = ""
    due: float = 0.0
    exits: int = 0
    started: float = field(default_factory=time.monotonic)


class Supervisor:
    """Runs roles and embedded servers until a signal comes. All of it belongs to the main thread."""

    def __init__(
        self,
        roles: Sequence[Role],
        env: Callable[[], Mapping[str, str]],
        on_change: Callable[[dict[str, int]], None] = lambda _pids: None,
    ) -> None:
        """Take what shall run; `env` gives the environment of a child when it starts.

        `on_change` is told the process ids by name whenever they change.
        """
        self.children = [Child(role) for role in roles]
        self.env = env
        self.servers: list[_Backed] = []
        self.on_change = on_change
        self.signals = 0
        self._known: dict[str, int] = {}
        self._started = False
        self._ending = False
        self._jobs: list[Forked] = []

    @property
    def stopping(self) -> bool:
        """Whether a signal has asked us to end."""
        return self.signals > 0

    def catch_signals(self) -> None:
        """Take SIGINT, SIGTERM and SIGHUP: the first asks for an end in order, the second forces it.

        The second raises KeyboardInterrupt where it finds the main thread, unless that is in `stop` already.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
                signal.signal(number, self._on_signal)
        _become_subreaper()

    def add_server(self, server: EmbeddedServer) -> None:
        """Tend a server that is started in this thread; whatever happens, `stop` ends it."""
        self.servers.append(_Backed(server))

    def start(self) -> None:
        """Start every role, unless a signal has come."""
        if self.stopping:
            return
        self._started = True
        for child in self.children:
            self._start(child)
        self._tell()

    def job(self, call: Callable[[], _Result], name: str) -> Callable[[], _Result | None]:
        """Begin to do something once, in a process of its own on Linux; the function returned waits for its result.

        Meanwhile everything is kept running. None when a signal came before the end.
        """
        if self.stopping:
            return lambda: None
        if not LINUX:
            return call
        child, result = fork_for(call, name=name, env=self.env())
        self._jobs.append(child)

        def finish() -> _Result | None:
            self.run(lambda: child.poll() is not None)
            return None if child.returncode is None else result()

        return finish

    def run(self, done: Callable[[], bool] = lambda: False) -> None:
        """Keep everything running until a signal comes or `done` says so."""
        while not self.stopping and not done():
            self.tick()
            time.sleep(_TICK)

    def tick(self) -> None:
        """Look once at every process and start again what has ended and is due."""
        for backed in self.servers:
            self._tend_server(backed)
        for child in self.children if self._started else ():
            self._tend(child)
        _reap_adopted(self._own_pids())
        self._tell()

    def stop(self) -> None:
        """End the roles in the order given, then the servers in the reverse of theirs, then whatever is left."""
        self._ending = True
        for name in dict.fromkeys(_kind(child.role.name) for child in self.children):
            self._end_kind([child for child in self.children if _kind(child.role.name) == name])
        for backed in reversed(self.servers):
            backed.server.stop(0.0 if self.signals > 1 else SERVER_SECONDS)
        end_all(psutil.Process().children(recursive=True), [(signal.SIGKILL, 1.0)])

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.signals += 1
        if self.signals > 1 and not self._ending:
            raise KeyboardInterrupt

    def _start(self, child: Child) -> None:
        env = {**self.env(), "CROSSDOCK_PROCESS": child.role.name}
        if callable(child.role.work):
            child.process = fork(child.role.work, name=child.role.name, env=env)
        else:
            child.process = spawn(child.role.work, env=env, output=sys.stderr.fileno())
        child.started = time.monotonic()

    def _tend(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is not None:
            status = child.process.poll()
            if status is None:
                return
            child.exits = 1 if now - child.started > HEALTHY_AFTER else child.exits + 1
            child.due = now + child.pause
            child.process = None
            _log.warning("process ended", name=child.role.name, status=status, again_in=child.pause)
        if now >= child.due:
            self._start(child)

    def _tend_server(self, backed: _Backed) -> None:
        now = time.monotonic()
        server = backed.server
        if server.pid is not None:
            backed.url = backed.url or server.url
            return
        if server.child is not None:
            backed.exits = 1 if now - backed.started > HEALTHY_AFTER else backed.exits + 1
            backed.due = now + pause_after(backed.exits) - FIRST_PAUSE  # at once when it was healthy
            _log.error("embedded server ended", name=server.name, status=server.child.returncode)
            server.child = None
        if now < backed.due:
            return
        try:
            server.begin()
        except (OSError, Unavailable) as error:
            backed.exits += 1
            backed.due = now + LONGEST_PAUSE
            _log.error("embedded server did not start", name=server.name, error=str(error))
            return
        backed.started = now
        if server.url != backed.url:  # its port was taken meanwhile: everybody has to learn the new one
            backed.url = server.url
            for child in self.children:
                if child.process is not None:
                    child.process.terminate()

    def _end_kind(self, children: list[Child]) -> None:
        """Ask for the end of some processes at once, and force it when their time is over or a second signal came."""
        running = [child for child in children if child.process is not None and child.process.poll() is None]
        for child in running:
            _signal(child, signal.SIGTERM)
        until = time.monotonic() + max((child.role.stop_seconds for child in running), default=0.0)
        while any(child.process is not None and child.process.poll() is None for child in running):
            if time.monotonic() > until or self.signals > 1:
                for child in running:
                    _signal(child, signal.SIGKILL)
            time.sleep(0.02)

    def _own_pids(self) -> set[int]:
        servers = [backed.server.child for backed in self.servers]
        roles = [child.process for child in self.children]
        return {each.pid for each in (*servers, *roles, *self._jobs) if each is not None}

    def pids(self) -> dict[str, int]:
        """Return the ids of what runs now, by name."""
        roles = {child.role.name: child.process.pid for child in self.children if child.process is not None}
        servers = {backed.server.name: backed.server.pid for backed in self.servers if backed.server.pid is not None}
        return servers | roles

    def _tell(self) -> None:
        pids = self.pids()
        if pids != self._known:
            self._known = pids
            self.on_change(pids)


def _kind(name: str) -> str:
    """`worker-2` is ended together with `worker-1`."""
    head, _, tail = name.rpartition("-")
    return head if tail.isdigit() else name


def _signal(child: Child, number: signal.Signals) -> None:
    if child.process is not None and child.process.poll() is None:
        child.process.send_signal(number)


def _become_subreaper() -> None:
    """Inherit what children leave behind instead of init, so that it can be reaped and ended here (Linux only)."""
    if LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _reap_adopted(own: set[int]) -> None:
    """Collect the status of dead processes that we inherited; ours are collected by their Popen."""
    if not LINUX:
        return
    try:
        while (dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and dead.si_pid not in own:
            os.waitpid(dead.si_pid, os.WNOHANG)
    except ChildProcessError:  # there is no child at all
        return
