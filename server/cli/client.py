"""The two ways to the REST API: over HTTP to the server that the user names, or into the application in this process.

Over HTTP this is a plain `requests` session, not the guarded transport: that one protects the server from addresses
that others chose, while CROSSDOCK_URL is the user's own server and is often on loopback or inside their network. It
follows no redirect, so the token goes nowhere else; every wait and every answer is bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import click

from server.cli import output
from server.cli.failing import (
    BAD_SETTING,
    NOT_CROSSDOCK,
    NOT_MIGRATED,
    OTHER_WORKSPACE,
    SERVER_AWAY,
    Refused,
)
from server.kernel.errors import Conflict, Invalid, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import requests
    from flask import Flask
    from sqlalchemy.exc import DBAPIError

    from server.config import Settings

API = "/api/v1"
DEFAULT_WORKSPACE = "default/default"
_JSON_TYPES = ("application/json", "application/problem+json")
_CONNECT_SECONDS = 5.0
_READ_SECONDS = 120.0
_SILENT_SECONDS = 60.0
_STREAM_TYPE = "text/event-stream"
_MOST_BYTES = 256 * 1024 * 1024
_PIECE = 65_536
_TOKEN = re.compile(r"[\x21-\x7e]{0,1000}")
_UNDEFINED = ("42P01", "42704", "22023")  # no such table, no such role (under either of two names)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered; `value` is the JSON object with all its digits, empty when there is none (204)."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    value: Mapping[str, Any] = field(default_factory=dict)


class _Object(dict[str, Any]):
    """A JSON object of an answer: what it lacks, a Crossdock of this version would have sent."""

    def __missing__(self, key: str) -> Any:
        raise Unavailable(f"the answer lacks {key!r}", code=NOT_CROSSDOCK, source="cli")


class Way(Protocol):
    """One way to the API."""

    def request(self, method: str, path: str, query: Mapping[str, str], body: bytes | None) -> Answer:
        """Send a request and return whatever came back.

        Raises:
            Unavailable: nothing answers.

        """
        ...

    def listen(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Iterator[Answer]:
        """Open a stream: yield the answer without a body first, then its body piece by piece, until it ends or breaks."""
        ...

    def close(self) -> None:
        """Close what was opened."""
        ...


class OverHttp:
    """To a server at a URL, with a token.

    Raises:
        Invalid: BAD_SETTING.

    """

    def __init__(self, url: str, token: str) -> None:
        import requests  # noqa: PLC0415 (see server/cli/__init__.py)

        self.url = _checked_url(url)
        self.session = requests.Session()
        if not _TOKEN.fullmatch(token):
            raise Invalid("CROSSDOCK_TOKEN is no token", code=BAD_SETTING, source="cli")
        self.session.auth = _Bearer(token)  # set even when empty, so that no .netrc speaks for us

    def request(self, method: str, path: str, query: Mapping[str, str], body: bytes | None) -> Answer:
        """Send a request.

        Raises:
            Unavailable: SERVER_AWAY, NOT_CROSSDOCK.

        """
        import requests  # noqa: PLC0415

        try:
            with self.session.request(
                method,
                self.url + path,
                params=dict(query),
                data=body,
                headers=_headers(body),
                timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                allow_redirects=False,
                stream=True,
            ) as response:
                return Answer(response.status_code, self._content(response), response.headers)
        except (requests.RequestException, OSError) as error:
            raise self._away(error) from error

    def listen(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Iterator[Answer]:
        """Open a stream; more than a minute without a sign of life breaks it (Unavailable, SERVER_AWAY)."""
        import requests  # noqa: PLC0415

        try:
            with self.session.get(
                self.url + path,
                params=dict(query),
                headers=dict(headers),
                timeout=(_CONNECT_SECONDS, _SILENT_SECONDS),
                allow_redirects=False,
                stream=True,
            ) as response:
                yield Answer(response.status_code, b"", response.headers)
                for piece in response.iter_content(None):
                    yield Answer(response.status_code, piece, response.headers)
        except (requests.RequestException, OSError) as error:
            raise self._away(error) from error

    def close(self) -> None:
        """Close the connections."""
        self.session.close()

    def _away(self, error: Exception) -> Unavailable:
        return Unavailable(f"{self.url} does not answer ({type(error).__name__})", code=SERVER_AWAY, source="cli")

    def _content(self, response: requests.Response) -> bytes:
        content = bytearray()
        for piece in response.iter_content(_PIECE):
            content += piece
            if len(content) > _MOST_BYTES:
                raise Unavailable(f"{self.url} answers without end", code=NOT_CROSSDOCK, source="cli")
        return bytes(content)


class _Bearer:
    """Adds the token to a request."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.token:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class InProcess:
    """Into an application in this process: the same code, the same answers, no socket."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.client = app.test_client(use_cookies=False)

    def request(self, method: str, path: str, query: Mapping[str, str], body: bytes | None) -> Answer:
        """Call the application."""
        response = self.client.open(path, method=method, query_string=dict(query), data=body, headers=_headers(body))
        return Answer(response.status_code, response.get_data(), dict(response.headers))

    def listen(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Iterator[Answer]:
        """Ask for what there is by now: nothing stays open in one process, so the stream ends at once."""
        response = self.client.open(path, query_string=dict(query), headers=dict(headers))
        for body in (b"", response.get_data()):
            yield Answer(response.status_code, body, dict(response.headers))

    def close(self) -> None:
        """Close the connections to the database."""
        core = self.app.extensions["crossdock"].core
        core.engine.close()
        core.tenant.close()


class Rest:
    """The API as commands use it: paths below /api/v1, JSON in and out, problems as exceptions."""

    def __init__(self, way: Way) -> None:
        self.way = way

    def close(self) -> None:
        """Close what was opened."""
        self.way.close()

    def get(self, path: str, **query: Any) -> Answer:
        """Read."""
        return self.call("GET", path, None, query)

    def post(self, path: str, body: Any = None, **query: Any) -> Answer:
        """Do; `body` is any JSON value, None sends no body."""
        return self.call("POST", path, body, query)

    def put(self, path: str, body: Any) -> Answer:
        """Set."""
        return self.call("PUT", path, body, {})

    def delete(self, path: str, **query: Any) -> Answer:
        """Remove."""
        return self.call("DELETE", path, None, query)

    def pages(self, path: str, **query: Any) -> Iterator[Any]:
        """Yield every item of a listing, page after page."""
        cursor: str | None = None
        while True:
            page = self.get(path, cursor=cursor, **query).value
            yield from items_of(page)
            cursor = page["next"]
            if cursor is None:
                return

    def listen(self, path: str, last: str | None, **query: Any) -> Iterator[bytes]:
        """Yield a stream of server-sent events piece by piece, after the id `last`, until it ends or breaks.

        Raises:
            Refused: the server answered with a problem.
            Unavailable: it does not answer, or is no Crossdock.

        """
        given = {key: _text(value) for key, value in query.items() if value is not None}
        headers = {"Accept": _STREAM_TYPE} | ({"Last-Event-ID": last} if last else {})
        answers = self.way.listen(API + path, given, headers)
        first = next(answers)
        if first.headers.get("Content-Type", "").partition(";")[0] != _STREAM_TYPE:
            whole = replace(first, body=b"".join(each.body for each in answers))
            raise Refused(first.status, _object("GET", API + path, whole))
        for answer in answers:
            yield answer.body

    def call(self, method: str, path: str, body: Any, query: Mapping[str, Any], base: str = API) -> Answer:
        """Send one request; query values that are None are left out.

        Raises:
            Refused: the server answered with a problem.
            Unavailable: it does not answer, or is no Crossdock.
            click.UsageError: the body is no JSON that can be sent.

        """
        try:
            content = None if body is None else output.write_json(body).encode()
        except TypeError as error:  # bytes of the command line that are no UTF-8
            raise click.UsageError(f"what was given cannot be sent: {error}") from error
        given = {key: _text(value) for key, value in query.items() if value is not None}
        answer = self.way.request(method, base + path, given, content)
        if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
            raise _not_ours(method, base + path, answer)
        read = replace(answer, value=_object(method, base + path, answer))
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise Refused(answer.status, read.value)
        return read


def _object(method: str, path: str, answer: Answer) -> Mapping[str, Any]:
    """Return the JSON object that the API always answers with."""
    if answer.status == HTTPStatus.NO_CONTENT:
        return _Object()
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    try:
        value = output.read_json(answer.body, _Object) if kind in _JSON_TYPES else None
    except (ValueError, RecursionError) as error:
        raise _not_ours(method, path, answer) from error
    if not isinstance(value, _Object):
        raise _not_ours(method, path, answer)
    return value


def _not_ours(method: str, path: str, answer: Answer) -> Unavailable:
    kind = answer.headers.get("Content-Type", "no content type")
    message = (
        f"{method} {path} was answered with status {answer.status} and {kind[:100]} that is no answer of Crossdock"
    )
    return Unavailable(message, code=NOT_CROSSDOCK, source="cli")


def items_of(page: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the items of a page.

    Raises:
        Unavailable: NOT_CROSSDOCK, it has none.

    """
    items = page["items"]
    if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
        raise Unavailable("the listing has no items", code=NOT_CROSSDOCK, source="cli")
    return items


def connect(settings: Settings, workspace: str | None) -> Rest:
    """Return the API of CROSSDOCK_URL, else the local one, acting in `workspace` (`organization/name`).

    Raises:
        Unavailable: NOT_RUNNING, or the database is away.
        Conflict: NOT_MIGRATED; OTHER_WORKSPACE.
        NotFound: WORKSPACE_UNKNOWN.
        Invalid: BAD_SETTING.

    """
    if settings.url:
        rest = Rest(OverHttp(settings.url, settings.token))
        if workspace is not None:
            _insist(rest, workspace)
        return rest
    return Rest(InProcess(local_app(settings, workspace or DEFAULT_WORKSPACE)))


def local_app(settings: Settings, workspace: str) -> Flask:
    """Build the application of this process, whose every request is the local admin's.

    Raises:
        Unavailable: NOT_RUNNING, or the database is away.
        Conflict: NOT_MIGRATED.
        NotFound: WORKSPACE_UNKNOWN.

    """
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 (see server/cli/__init__.py)

    from server import bootstrap  # noqa: PLC0415
    from server.app import create_app  # noqa: PLC0415
    from server.cli.place import local_settings  # noqa: PLC0415

    quiet_logs(settings)
    try:
        return create_app(bootstrap.local(local_settings(settings), workspace))
    except DBAPIError as error:
        if never_migrated(error):
            raise Conflict("the database has not been prepared", code=NOT_MIGRATED, source="cli") from error
        raise


def never_migrated(error: DBAPIError) -> bool:
    """Say whether a statement failed because our tables or roles are not there."""
    return getattr(error.orig, "sqlstate", None) in _UNDEFINED


def quiet_logs(settings: Settings) -> None:
    """Keep what the application logs out of a person's sight, unless they asked for it."""
    from server.telemetry import logs  # noqa: PLC0415 (see server/cli/__init__.py)

    logs.configure("cli", "debug" if settings.log_level == "debug" else None)


def _insist(rest: Rest, workspace: str) -> None:
    """Refuse to act in another workspace than was asked for: over HTTP the token decides."""
    wanted = workspace if "/" in workspace else f"default/{workspace}"
    me = rest.get("/me").value
    held = f"{me['organization']}/{me['workspace']}"
    if held != wanted:
        raise Conflict(f"the token belongs to {held}, not {wanted}", code=OTHER_WORKSPACE, source="cli")


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.username is None and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise Invalid("CROSSDOCK_URL is not http(s)://HOST[:PORT]", code=BAD_SETTING, source="cli")
    return url.rstrip("/")


def _headers(body: bytes | None) -> dict[str, str]:
    accept = {"Accept": "application/json"}
    return accept if body is None else {**accept, "Content-Type": "application/json"}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
