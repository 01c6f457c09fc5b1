"""Children by fork: they share what we have loaded, so that a server of five processes starts in the time of one.

Loading the whole server takes a process 2.4 s of processor time (measured); a fork takes 10 ms, and a killed worker is back
at once. The price is a rule: who forks has one thread and no connection open. Only `crossdock up` does, on Linux.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import structlog

from server.kernel import errors
from server.kernel.errors import INTERNAL, CrossdockError
from server.runtime.launch import LINUX, die_with_parent
from server.telemetry import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PR_SET_NAME = 15
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
_Result = TypeVar("_Result")
_log = structlog.get_logger(__name__)


class Forked:
    """A child made by fork, with the part of `subprocess.Popen` that a supervisor needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, minus the signal's number when one ended it; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end.

        Raises:
            subprocess.TimeoutExpired: it still runs after `timeout` seconds.

        """
        until = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if until is not None and timeout is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired("fork", timeout)
            time.sleep(0.01)
        return status

    def send_signal(self, number: int) -> None:
        """Signal it unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


def fork(call: Callable[[], int], *, name: str, env: Mapping[str, str], keep: int | None = None) -> Forked:
    """Start a child that does `call` and exits with what that returns. It dies with us and writes to our standard error.

    `env` becomes its environment, `name` its name in `ps -o comm`; of our open files it has `keep` only.
    """
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()  # what is loaded by now stays shared: the collector does not write into it
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # a signal waits until the child has its own handlers
    pid = os.fork()
    if pid == 0:
        _live(partial(_become, parent, name, env, keep), call)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return Forked(pid)


def fork_for(call: Callable[[], _Result], *, name: str, env: Mapping[str, str]) -> tuple[Forked, Callable[[], _Result]]:
    """Do `call` in a child, so that what it loads, opens and leaves behind is gone after it.

    Returns:
        The child, and a function that gives its result once it has ended; it raises the CrossdockError that `call` raised.

    """
    # Not a pipe, which would hold a child with much to say until somebody reads.
    kept = tempfile.TemporaryFile()  # noqa: SIM115 (`result` closes it)

    def answer() -> int:
        try:
            content = pickle.dumps((call(), None))
        except CrossdockError as error:
            content = pickle.dumps(
                (None, (type(error).__name__, error.message, error.code, error.source, error.details))
            )
        with kept:
            kept.write(content)
        return 0

    child = fork(answer, name=name, env=env, keep=kept.fileno())

    def result() -> _Result:
        status = child.wait()
        with kept:
            content = os.pread(kept.fileno(), os.fstat(kept.fileno()).st_size, 0)
        if status != 0 or not content:
            raise CrossdockError(f"{name} ended with status {child.returncode}; the log says why", code=INTERNAL)
        value, failure = pickle.loads(content)  # noqa: S301 (written by our own child)
        if failure is not None:
            kind, message, code, source, details = failure
            raise getattr(errors, kind, CrossdockError)(message, code=code, source=source, **details)
        made: _Result = value
        return made

    return child, result


def _become(parent: int, name: str, env: Mapping[str, str], keep: int | None) -> None:
    """Make a process of its own out of the copy: nothing of the parent's but its modules and standard error."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    os.setsid()
    die_with_parent(parent, signal.SIGKILL)
    if LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
    logs.rename(name)
    os.environ.clear()
    os.environ.update(env)
    os.dup2(2, 1)
    for opened in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if opened > 2 and opened != keep:  # noqa: PLR2004 (the three standard streams)
            with suppress(OSError):  # the one that listed the folder
                os.close(opened)
    sys.stdin = Path(os.devnull).open()  # noqa: SIM115 (for the life of the process)
    atexit._clear()  # noqa: SLF001 (what the parent wants done at its end is not for us)


def _live(become: Callable[[], None], call: Callable[[], int]) -> NoReturn:
    """Do the call and exit, whatever happens: a copy must never go on with what the parent does next."""
    status = 1
    try:
        become()
        status = call()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001 (see the docstring; the log has it)
        _log.exception("process failed")
    finally:
        atexit._run_exitfuncs()  # noqa: SLF001 (os._exit would leave them out)
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join(1.0)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
