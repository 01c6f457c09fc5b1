"""Child processes that leave no orphan: started to die with us, found again by their folder, ended step by step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_LAUNCH = Path(__file__).with_name("launch.py")


def spawn(
    command: Sequence[str],
    *,
    death_signal: signal.Signals = signal.SIGKILL,
    user: tuple[int, int] | None = None,
    opened: Sequence[Path] = (),
    env: Mapping[str, str] | None = None,
    given: IO[bytes] | int = subprocess.DEVNULL,
    output: IO[bytes] | int = subprocess.DEVNULL,
    errors: IO[bytes] | int = subprocess.STDOUT,
) -> subprocess.Popen[bytes]:
    """Start `command` (its program as an absolute path) in a session of its own, so that Ctrl-C reaches only us.

    When the calling thread ends, even by kill -9, the kernel sends `death_signal` (Linux; elsewhere the next start
    finds the orphan). So call this from a thread that lives as long as the process. `user` is a (uid, gid) to become;
    `opened` paths replace `{0}`, `{1}`, … in the command (see launch.py).
    """
    uid, gid = ("-", "-") if user is None else (str(user[0]), str(user[1]))
    prefix = [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), str(int(death_signal)), uid, gid]
    return subprocess.Popen(  # noqa: S603 (commands are ours)
        [*prefix, *(str(path) for path in opened), "--", *command],
        stdin=given,
        stdout=output,
        stderr=errors,
        env=None if env is None else dict(env),
        start_new_session=True,
    )


def processes_in(folder: Path, names: Iterable[str]) -> list[psutil.Process]:
    """Return the processes with one of these names that work in `folder`: how a server is recognized."""
    wanted, place = frozenset(names), str(folder.resolve())
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() in wanted and process.cwd() == place:
                found.append(process)
        except (psutil.Error, OSError):  # it has just ended, or is another user's
            continue
    return found


def end_all(processes: Iterable[psutil.Process], steps: Sequence[tuple[signal.Signals, float]]) -> None:
    """Signal the processes and wait, step by step, until all are gone: each step is a signal and seconds to wait."""
    left = list(processes)
    for number, seconds in steps:
        for process in left:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        left = psutil.wait_procs(left, timeout=seconds)[1]
        if not left:
            return


def end_child(child: subprocess.Popen[bytes], steps: Sequence[tuple[signal.Signals, float]]) -> None:
    """Do the same for one child of ours."""
    for number, seconds in steps:
        if child.poll() is not None:
            return
        child.send_signal(number)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            continue


def wait_until_gone(processes: Iterable[psutil.Process], seconds: float) -> bool:
    """Say whether all of them have ended within `seconds`."""
    return not psutil.wait_procs(list(processes), timeout=seconds)[1]


def deadline(seconds: float) -> float:
    """Return the monotonic moment that is `seconds` away."""
    return time.monotonic() + seconds
