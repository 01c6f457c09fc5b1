from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
import warnings
from typing import TYPE_CHECKING

import pytest
import structlog

from server.telemetry import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the process logs; everything is as before afterwards."""
    root, stream = logging.getLogger(), io.StringIO()
    before, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook
    logs.configure("worker-1", "info", stream)
    yield stream
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    sys.excepthook, threading.excepthook = hooks
    root.handlers[:] = before
    root.setLevel(level)


def read(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_silence_is_of_ours_and_of_all_libraries(lines: io.StringIO) -> None:
    logs.configure("cli", None, lines)
    structlog.get_logger().error("a slice broke")
    structlog.get_logger().exception("it broke")
    logging.getLogger("some.library").error("away")
    assert lines.getvalue() == ""


def test_what_cannot_be_written_breaks_nothing(lines: io.StringIO) -> None:
    lines.close()
    structlog.get_logger().error("nobody reads it")
    logs.configure("worker-1", "info", io.StringIO())


def test_a_line_is_json_with_its_context(lines: io.StringIO) -> None:
    with logs.context(request_id="req_1", workspace="default/default", user=None):
        structlog.get_logger("server.x").info("delivery sent", status=200)
    structlog.get_logger().info("outside")
    first, second = read(lines)
    assert first == first | {
        "event": "delivery sent",
        "level": "info",
        "process": "worker-1",
        "request_id": "req_1",
        "workspace": "default/default",
        "status": 200,
    }
    assert "user" not in first
    assert first["timestamp"].endswith("Z")
    assert "request_id" not in second


def test_the_standard_library_logs_the_same_way(lines: io.StringIO) -> None:
    with logs.context(correlation_id="c1"):
        logging.getLogger("some.library").warning("token %s refused", "cdk_abcdefghij", extra={"password": "hush"})
    (line,) = read(lines)
    assert line["correlation_id"] == "c1"
    assert line["process"] == "worker-1"
    assert "abcdefghij" not in str(line)
    assert "hush" not in str(line)


def test_an_exception_is_one_line_without_the_credential_in_it(lines: io.StringIO) -> None:
    def fail() -> None:
        raise ValueError("https://u:hunter22@example.com refused\r\n{}")

    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("it broke")
    (line,) = read(lines)
    assert "ValueError" in line["exception"]
    assert "hunter22" not in lines.getvalue()


def test_no_text_begins_a_line_of_its_own(lines: io.StringIO) -> None:
    structlog.get_logger().info('x\r\n{"event": "forged"}\u2028', name="a\nb")
    assert lines.getvalue().count("\n") == 1
    assert "\r" not in lines.getvalue()


@pytest.mark.parametrize("value", ["\ud800", 2**70, b"\xff", {1: 2}, object(), float("nan")])
def test_anything_can_be_logged(lines: io.StringIO, value: object) -> None:
    structlog.get_logger().info("odd", value=value)
    assert len(read(lines)) == 1


def test_lines_below_the_level_are_not_written(lines: io.StringIO) -> None:
    structlog.get_logger().debug("silent")
    logging.getLogger("urllib3.connectionpool").info("silent")
    assert lines.getvalue() == ""


def test_a_warning_is_a_line(lines: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old way", DeprecationWarning, stacklevel=1)
    assert "old way" in lines.getvalue()


def test_the_context_can_be_handed_to_a_thread(lines: io.StringIO) -> None:
    def work(bound: dict[str, object]) -> None:
        with logs.context(**bound):
            structlog.get_logger().info("in the thread")

    with logs.context(request_id="req_2"):
        thread = threading.Thread(target=work, args=[logs.current()])
        thread.start()
        thread.join()
    assert read(lines)[0]["request_id"] == "req_2"


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="CROSSDOCK_LOG_LEVEL"):
        logs.configure("api", "loud")


def test_what_nobody_catches_is_a_line_too() -> None:
    program = (
        "import threading\nfrom server.telemetry import logs\nlogs.configure('worker')\n"
        "def fail(): raise ValueError('odd: Bearer abc123456')\n"
        "thread = threading.Thread(target=fail, name='chores')\nthread.start()\nthread.join()\nfail()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    first, second = [json.loads(line) for line in done.stderr.splitlines()]
    assert (first["event"], first["thread"], second["event"]) == ("thread failed", "chores", "process failed")
    assert "ValueError" in first["exception"]
    assert "abc123456" not in done.stderr


def test_lines_that_anybody_can_cause_are_so_many_a_second() -> None:
    now = 10.2
    bound = logs.Bound(2, lambda: now)
    told = [bound.admits() for _ in range(4)]
    now = 11.0
    assert (told, bound.admits()) == ([True, True, False, False], True)
