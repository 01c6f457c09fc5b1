"""Over HTTP: bounded, to the named server only, and every way in which it can fail has a name."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from server.cli import client
from server.kernel.errors import CrossdockError
from server.runtime.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


class Server:
    """Answers everything with what it is told, and remembers who asked."""

    def __init__(self) -> None:
        self.answer: tuple[int, dict[str, str], bytes] = (200, {"Content-Type": "application/json"}, b"{}")
        self.asked: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers.get("Authorization")))
                self.rfile.read(
                    int(self.headers.get("Content-Length", 0))
                )  # unread, it would reset the connection at its end
                status, headers, body = outer.answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815 - http.server asks for this name

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()
    thread.join()


@pytest.fixture
def remote(cli, server):
    cli.env |= {"CROSSDOCK_URL": server.url, "CROSSDOCK_TOKEN": "cdk_test"}
    return cli


def test_the_token_is_presented(remote, server):
    remote("plugin", "show", "http")
    assert server.asked == [("/api/v1/plugins/http", "Bearer cdk_test")]


def test_no_netrc_speaks_for_the_user(remote, server, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    remote("plugin", "show", "http", NETRC=str(tmp_path / "netrc"), CROSSDOCK_TOKEN="")
    assert server.asked == [("/api/v1/plugins/http", None)]


def test_a_redirect_is_not_followed_so_that_the_token_goes_nowhere_else(remote, server):
    server.answer = (307, {"Location": f"{server.url}/elsewhere", "Content-Type": "application/json"}, b"{}")
    result = remote("plugin", "show", "http")
    assert result.exit_code == 6
    assert result.stderr.startswith("NOT_CROSSDOCK ")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"Content-Type": "text/html"}, b"<h1>Welcome</h1>"),
        (502, {"Content-Type": "text/html"}, b"<h1>Bad gateway</h1>"),
        (200, {}, b""),
    ],
)
def test_what_is_no_crossdock_is_said_to_be_none(remote, server, answer):
    server.answer = answer
    result = remote("plugin", "show", "http")
    assert (result.exit_code, result.stderr.split()[0]) == (6, "NOT_CROSSDOCK")
    assert "Traceback" not in result.output


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("command", [("events",), ("plugin", "show", "http"), ("send", "a.b", "--data", "1")])
def test_broken_answers_never_end_in_a_traceback(remote, server, body, command):
    server.answer = (200, {"Content-Type": "application/json"}, body)
    result = remote(*command)
    assert (result.exit_code, result.stderr.split()[0]) == (6, "NOT_CROSSDOCK"), result.output


@pytest.mark.parametrize("body", [b"{}", b'{"items": 3}', b'{"items": [7]}', b'{"items": [], "id": "e"}'])
@pytest.mark.parametrize("command", [("events",), ("events", "--all"), ("send", "a.b", "--data", "1")])
def test_answers_that_lack_something_never_end_in_a_traceback(remote, server, body, command):
    server.answer = (200, {"Content-Type": "application/json"}, body)
    result = remote(*command)
    assert result.exit_code == 6
    assert "NOT_CROSSDOCK" in result.stderr


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"details": 7, "errors": 8, "code": null}'])
def test_broken_problems_never_end_in_a_traceback(remote, server, body):
    server.answer = (422, {"Content-Type": "application/problem+json"}, body)
    result = remote("plugin", "show", "http")
    assert result.exit_code in (1, 6)
    assert "Traceback" not in result.output


def test_an_answer_without_end_is_cut(server, monkeypatch):
    monkeypatch.setattr(client, "_MOST_BYTES", 1000)
    server.answer = (200, {"Content-Type": "application/json"}, b" " * 100_000)
    with pytest.raises(CrossdockError, match="without end"):
        client.Rest(client.OverHttp(server.url, "")).get("/events")


def test_a_server_that_is_away_is_named_with_the_way_out(cli):
    url = f"http://127.0.0.1:{free_port()}"
    result = cli("events", CROSSDOCK_URL=url)
    assert result.exit_code == 6
    assert result.stderr.startswith(f"SERVER_AWAY {url} does not answer")
    assert "way out: " in result.stderr


@pytest.mark.parametrize(
    "url",
    ["ftp://x", "127.0.0.1:8080", "http://", "http://me:secret@x", "http://x/?a=b", "http://[::1", "http://x:99999"],
)
def test_an_address_that_is_none_is_refused_without_repeating_it(cli, url):
    result = cli("events", CROSSDOCK_URL=url)
    assert (result.exit_code, result.stderr.split()[0]) == (1, "BAD_SETTING")
    assert "secret" not in result.output


def test_another_workspace_than_the_tokens_is_refused(remote, server):
    server.answer = (
        200,
        {"Content-Type": "application/json"},
        json.dumps({"organization": "acme", "workspace": "main"}).encode(),
    )
    result = remote("events", "--workspace", "acme/other")
    assert (result.exit_code, result.stderr.split()[0]) == (4, "OTHER_WORKSPACE")


@pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "é", "a b"])
def test_a_token_that_cannot_be_sent_is_refused(remote, token):
    result = remote("events", CROSSDOCK_TOKEN=token)
    assert (result.exit_code, result.stderr.split()[0]) == (1, "BAD_SETTING")
