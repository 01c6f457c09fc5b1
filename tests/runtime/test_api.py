from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from server.kernel.errors import Conflict, Invalid
from server.kernel.ids import read
from server.runtime.api import check_port
from server.runtime.ports import free_port, is_free
from server.web.guard import HEADERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Api:
    def __init__(self, home: Path, processes: int) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "tests.support.small_api", str(home), str(self.port), str(processes)]
        self.log = home / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def get(self, path: str = "/", timeout: float = 10.0) -> tuple[int, int]:
        """Return the status and the process that answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())["pid"]
        finally:
            connection.close()

    def answers(self) -> bool:
        try:
            return self.get()[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def who_answers(self) -> set[int]:
        """Return the processes that answer 30 requests; one that is cut off, as by a kill, is the client's to repeat."""
        found = set()
        for _ in range(30):
            with suppress(OSError, http.client.HTTPException):
                found.add(self.get()[1])
        return found

    def wait(self) -> None:
        wait_for(self.answers, 20)

    @property
    def workers(self) -> list[int]:
        return [each.pid for each in psutil.Process(self.process.pid).children()]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Callable[[int], Api]]:
    started: list[Api] = []

    def start(processes: int = 1) -> Api:
        started.append(Api(tmp_path, processes))
        started[-1].wait()
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One for all tests that do it no harm, and so another test of each of them."""
    server = Api(tmp_path_factory.mktemp("home"), 1)
    server.wait()
    yield server
    server.process.terminate()
    server.process.wait()


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_several_processes_serve_one_port(api: Callable[[int], Api]) -> None:
    server = api(2)
    wait_for(lambda: len(server.who_answers()) == 2)


def test_a_request_under_way_is_answered_before_the_end(api: Callable[[int], Api]) -> None:
    server = api(1)
    answers: list[int] = []
    request = threading.Thread(target=lambda: answers.append(server.get("/slow")[0]))
    request.start()
    time.sleep(0.4)
    began = time.monotonic()
    server.process.terminate()
    assert server.process.wait(10) == 0
    assert time.monotonic() - began < 6
    request.join()
    assert answers == [200]
    assert not server.answers()


def test_an_idle_connection_does_not_hold_the_end_up(api: Callable[[int], Api]) -> None:
    server = api(1)
    idle = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    idle.request("GET", "/")
    idle.getresponse().read()
    began = time.monotonic()
    server.process.terminate()
    server.process.wait(10)
    assert time.monotonic() - began < 6
    idle.close()


def test_a_kill_9_leaves_no_orphan_that_holds_the_port(api: Callable[[int], Api]) -> None:
    server = api(2)
    workers = server.workers
    assert len(workers) >= 2
    server.process.kill()
    server.process.wait()
    wait_for(lambda: not [pid for pid in workers if alive(pid)])
    wait_for(lambda: is_free("127.0.0.1", server.port))


def test_a_killed_process_of_two_comes_back_while_the_other_serves(api: Callable[[int], Api]) -> None:
    server = api(2)
    wait_for(lambda: len(server.who_answers()) == 2)
    victim = server.get()[1]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: len(server.who_answers() - {victim}) == 2)


def test_many_slow_bodies_do_not_stop_the_others(shared: Api) -> None:
    server = shared
    slow = []
    for _ in range(300):
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
        slow.append(connection)
    time.sleep(0.5)
    times = []
    for _ in range(20):
        began = time.monotonic()
        server.get()
        times.append(time.monotonic() - began)
    for connection in slow:
        connection.close()
    assert max(times) < 1.0


def raw(server: Api, request: bytes, timeout: float = 10.0) -> tuple[int, dict[str, object]]:
    """Send bytes as they are and return the status and the JSON of the answer; 0 when the connection was just closed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        try:
            answer.begin()
            text = answer.read()
        except (http.client.HTTPException, ConnectionError):
            return 0, {}
        return answer.status, json.loads(text) if text else {}


def test_a_body_that_does_not_come_in_time_is_answered_408(shared: Api) -> None:
    began = time.monotonic()
    status, problem = raw(shared, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    assert (status, problem["code"]) == (408, "REQUEST_TIMEOUT")
    assert time.monotonic() - began < 8


@pytest.mark.parametrize(
    ("request_", "status", "answered"),
    [
        (b"POST /direct/x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", 200, 4),
        (b"POST /direct/x HTTP/1.1\r\nHost: x\r\n\r\n", 200, 0),
        (b"POST /direct/x HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n", 413, "TOO_LARGE"),
        (b"POST /direct/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", 408, "REQUEST_TIMEOUT"),
        (
            b"POST /direct/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n"
            + b"x" * 101
            + b"\r\n0\r\n\r\n",
            413,
            "TOO_LARGE",
        ),
        (b"POST /direct/fails HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 500, "INTERNAL"),
    ],
)
def test_what_is_served_on_the_loop_reads_within_the_same_limits(
    shared: Api, request_: bytes, status: int, answered: int | str
) -> None:
    got, shown = raw(shared, request_)
    assert (got, shown if isinstance(shown, int) else shown["code"]) == (status, answered)


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [
        ("/", 9, 408),
        ("/direct/x", 101, 413),
        ("/direct/fails", 0, 500),
        ("/door", 0, 500),
        ("/fails", 0, 500),
    ],
)
def test_an_answer_that_the_application_did_not_make_has_its_id_and_headers_too(
    shared: Api, path: str, length: int, status: int
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=10)
    connection.request("POST", path, headers={"Content-Length": str(length), "X-Correlation-ID": "given-1"})
    answer = connection.getresponse()
    problem = json.loads(answer.read())
    connection.close()
    id_ = problem["request_id"]
    assert (answer.status, read("req", id_).version) == (status, 7)
    assert (answer.headers["X-Request-ID"], answer.headers["X-Correlation-ID"]) == (id_, "given-1")
    assert problem["instance"] == f"urn:crossdock:request:{id_}"
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert any(id_ in line and '"given-1"' in line for line in shared.log.read_text().splitlines())


def test_a_flood_of_refusals_is_no_flood_of_lines(api: Callable[[int], Api]) -> None:
    server = api(1)
    began = time.monotonic()
    large = b"POST /direct/x HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n"
    assert {raw(server, large)[0] for _ in range(200)} == {413}
    seconds = int(time.monotonic() - began) + 2  # of the clock, begun ones too
    assert 1 <= server.log.read_text().count("a request was refused") <= 20 * seconds


def test_a_websocket_is_held_by_a_handler_of_the_loop(shared: Api) -> None:
    with connect(f"ws://127.0.0.1:{shared.port}/direct/twice", open_timeout=5) as socket:
        socket.send("hello ")
        assert socket.recv(timeout=5) == "hello hello "
    with pytest.raises(InvalidStatus), connect(f"ws://127.0.0.1:{shared.port}/elsewhere", open_timeout=5):
        pass


@pytest.mark.parametrize(
    ("request_", "status", "body", "length"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", 200, "body", "4"),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", 200, "", "0"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", 200, "body", "4"),
        # the application is told the length and refuses; nothing is read
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10001\r\n\r\nbody", 200, "", "10001"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nbody", 400, None, None),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nbody", 400, None, None),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody", 400, None, None),
        (b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n", 400, None, None),
        (b"RUBBISH\r\n\r\n", 400, None, None),
    ],
)
def test_bodies_arrive_whole_and_what_breaks_http_is_refused(
    shared: Api, request_: bytes, status: int, body: str | None, length: str | None
) -> None:
    got, shown = raw(shared, request_)
    assert got == status
    if body is not None:
        assert shown["body"] == body
        assert shown["environ"]["CONTENT_LENGTH"] == length


def test_an_endless_chunked_body_is_read_up_to_the_limit_only(shared: Api) -> None:
    chunks = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    status, shown = raw(shared, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks * 5)
    assert status == 200
    assert 10_000 < int(shown["environ"]["CONTENT_LENGTH"]) < 30_000


def test_the_environ_says_what_was_asked_and_nothing_of_our_own(shared: Api) -> None:
    path = b"/a%20b/%C3%A9/%2F/..//?q=%20x&y=a+b"
    headers = b"Host: example.com\r\nX-Two: a\r\nX-Two: b\r\nX_Under: spoofed\r\nContent-Type: text/plain\r\n"
    _, shown = raw(shared, b"PUT " + path + b" HTTP/1.1\r\n" + headers + b"\r\n")
    environ = shown["environ"]
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/a b/é///..//"
    assert environ["QUERY_STRING"] == "q=%20x&y=a+b"
    assert environ["REQUEST_METHOD"] == "PUT"
    assert environ["HTTP_HOST"] == "example.com"
    assert environ["HTTP_X_TWO"] == "a,b"
    assert environ["CONTENT_TYPE"] == "text/plain"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert not {"HTTP_X_UNDER", "PATH", "HOME"} & environ.keys()


@pytest.mark.parametrize("value", [b"\xff\xfe", "é你".encode(), b"\x01", b"a\x00b", b"a" * 60_000])
def test_odd_headers_do_not_break_it(shared: Api, value: bytes) -> None:
    server = shared
    status, _ = raw(server, b"GET / HTTP/1.1\r\nHost: x\r\nX-Odd: " + value + b"\r\n\r\n")
    assert status in (0, 200, 400, 431)
    assert server.answers()


@pytest.mark.parametrize(
    "path", [b"/%FF%FE", b"/%00", b"/" + b"a" * 20_000, b"/\xc3\xa9", b"*", b"http://other/x", b"/%zz"]
)
def test_odd_paths_do_not_break_it(shared: Api, path: bytes) -> None:
    server = shared
    status, _ = raw(server, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status in (0, 200, 400, 404, 414)
    assert server.answers()


def test_an_error_of_the_application_is_a_problem_and_the_next_request_is_served(shared: Api) -> None:
    server = shared
    for _ in range(40):
        status, problem = raw(server, b"GET /fails HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (status, problem["code"]) == (500, "INTERNAL")
    assert server.answers()


def test_a_stream_is_sent_piece_by_piece_and_closed_when_nobody_listens(
    api: Callable[[int], Api], tmp_path: Path
) -> None:
    server = api(1)
    streams = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(40)]
    for stream in streams:
        stream.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
    for stream in streams:
        received = b""
        while received.count(b"data: x") < 2:
            received += stream.recv(1000)
    assert server.answers()
    for stream in streams:
        stream.close()
    wait_for((tmp_path / "closed").exists)


def test_endless_headers_end_in_an_error(shared: Api) -> None:
    server = shared
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        answer = b""
        with suppress(OSError):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: " + b"b" * 200_000)
            answer = connection.recv(100)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert server.answers()


def test_a_port_that_somebody_shares_counts_as_taken(shared: Api) -> None:
    server = shared
    with pytest.raises(Conflict, match=f"port {server.port}") as caught:
        check_port("127.0.0.1", server.port)
    assert caught.value.code == "PORT_IN_USE"


@pytest.mark.parametrize(
    ("host", "port"), [("203.0.113.1", 8080), ("no-such-host.invalid", 8080), ("127.0.0.1", 99999)]
)
def test_a_host_or_port_that_is_none_is_named(host: str, port: int) -> None:
    with pytest.raises(Invalid, match=host) as caught:
        check_port(host, port)
    assert caught.value.code == "BAD_HOST"
