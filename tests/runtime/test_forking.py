from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

HEAD = """
import atexit, os, signal, sys, time
from server.kernel.errors import Conflict, CrossdockError
from server.runtime.forking import fork, fork_for
def done():
    print("parent's own end", file=sys.stderr)
atexit.register(done)
"""


def run(program: str) -> tuple[str, str]:
    """Fork in a process that has one thread, unlike that of pytest; return its output and what it logged."""
    command = [sys.executable, "-c", HEAD + textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout, done.stderr


def test_a_call_gives_its_result_and_leaves_nothing_behind() -> None:
    out, _ = run("""
        child, result = fork_for(lambda: {"pid": os.getpid(), "env": dict(os.environ)}, name="job", env={"A": "b"})
        got = result()
        print(got["pid"] == child.pid, got["env"]["A"], "PATH" in got["env"], child.returncode)
    """)
    assert out == "True b False 0\n"


def test_a_large_result_holds_nobody_up() -> None:
    out, _ = run("""
        child, result = fork_for(lambda: b"x" * 10_000_000, name="job", env={})
        until = time.monotonic() + 20
        while child.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        print(child.returncode, len(result()))
    """)
    assert out == "0 10000000\n"


def test_an_error_of_ours_comes_through_as_what_it_is() -> None:
    out, _ = run("""
        def call(): raise Conflict("taken", code="CONFLICT", source="x", pid=7)
        try:
            fork_for(call, name="job", env={})[1]()
        except Conflict as error:
            print(error.failure)
    """)
    assert "code='CONFLICT', message='taken', source='x', details={'pid': 7}" in out


@pytest.mark.parametrize("fault", ["raise ValueError('odd')", "sys.exit(3)", "os.kill(os.getpid(), 9)", "os._exit(0)"])
def test_any_other_end_is_an_error_that_names_it(fault: str) -> None:
    out, _ = run(f"""
        def call(): {fault}
        try:
            fork_for(call, name="job", env={{}})[1]()
        except CrossdockError as error:
            print(error.code, error.message)
    """)
    assert out.startswith("INTERNAL job ended with status")


@pytest.mark.parametrize(
    ("work", "status"), [("return 3", 3), ("return 0", 0), ("sys.exit()", 0), ("sys.exit('x')", 1), ("1 / 0", 1)]
)
def test_a_child_ends_with_its_status_and_never_does_what_its_parent_does(work: str, status: int) -> None:
    out, log = run(f"""
        def call(): {work}
        try:
            child = fork(call, name="child", env={{}})
            print("only the parent says this", child.wait(10))
        finally:
            print("nor this twice")
    """)
    assert out == f"only the parent says this {status}\nnor this twice\n"
    assert log.count("parent's own end") == 1


def test_signals_do_to_a_child_what_they_do_to_any_process() -> None:
    out, _ = run("""
        signal.signal(signal.SIGTERM, lambda *_: None)
        child = fork(lambda: time.sleep(100), name="child", env={})
        print(child.poll())
        child.terminate()
        print(child.wait(10))
    """)
    assert out == f"None\n{-signal.SIGTERM}\n"


def test_what_a_child_wants_done_at_its_end_is_done() -> None:
    _, log = run("""
        def call():
            atexit.register(lambda: print("child's end", file=sys.stderr))
            return 0
        fork(call, name="child", env={}).wait(10)
    """)
    assert log.count("child's end") == 1


def test_a_child_dies_with_its_parent() -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            HEAD + "print(fork(lambda: time.sleep(100), name='c', env={}).pid, flush=True)\ntime.sleep(100)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.kill()
    process.communicate()
    import time

    import psutil

    until = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert os.getpid() != child
