"""How commands fail: one line `CODE message` on standard error, each wrong place below it, and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.cli import exits, output
from server.kernel.errors import CrossdockError, code

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NOT_RUNNING = code("NOT_RUNNING", "No server runs on this CROSSDOCK_HOME, and no DATABASE_URL or CROSSDOCK_URL is set.")
NOT_MIGRATED = code("NOT_MIGRATED", "The database lacks tables that this version of Crossdock needs.")
SERVER_AWAY = code("SERVER_AWAY", "Nothing answers at CROSSDOCK_URL.")
NOT_CROSSDOCK = code("NOT_CROSSDOCK", "What answers at CROSSDOCK_URL does not speak Crossdock's API.")
BAD_SETTING = code("BAD_SETTING", "An environment variable of Crossdock has a value that cannot be used.")
OTHER_WORKSPACE = code("OTHER_WORKSPACE", "The token belongs to another workspace than `--workspace` names.")

_WAY_OUT: dict[str, str] = {
    NOT_RUNNING: "start a server with `crossdock up`, or name one with DATABASE_URL (or CROSSDOCK_URL and CROSSDOCK_TOKEN)",
    NOT_MIGRATED: "`crossdock db upgrade`",
    SERVER_AWAY: "look whether CROSSDOCK_URL is right and the server runs; `crossdock doctor` says more",
    NOT_CROSSDOCK: "set CROSSDOCK_URL to the address that `crossdock up` or your operator gave, without a path",
    OTHER_WORKSPACE: "use a token of that workspace, or leave `--workspace` out",
    "UNAUTHENTICATED": "set CROSSDOCK_TOKEN; an admin makes one with `crossdock token create --role ROLE`",
    "BASE_MOVED": "`crossdock plan` again, look at it, and apply that",
    "DATABASE_AWAY": "`crossdock doctor` says what is away",
    "WORKSPACE_UNKNOWN": "`crossdock workspace list` shows those that there are",
    "TOO_LARGE": "raise CROSSDOCK_BODY_LIMIT, here and at the server",
    "BENCH_SUBSCRIBED": "`crossdock workspace create bench`, and measure with `--workspace default/bench`",
    "BENCH_UNREACHED": "let the server call the receiver (CROSSDOCK_ALLOW_NETWORKS=127.0.0.0/8), or give it an address with "
    "--listen and --receiver that the server reaches",
    "BENCH_NO_WORKER": "start a worker: `crossdock worker`; `crossdock doctor` shows who is at work",
    "INTERNAL": "run it again with CROSSDOCK_LOG_LEVEL=debug to see where it broke, and report that",
}
_MOST_PLACES = 50


class Refused(CrossdockError):
    """The server answered with a problem; `status` is its HTTP status."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        details = dict(problem["details"]) if isinstance(problem.get("details"), dict) else {}
        if isinstance(problem.get("errors"), list):
            details["errors"] = problem["errors"]
        super().__init__(
            str(problem.get("detail") or problem.get("title") or f"HTTP {status}"),
            code=str(problem.get("code") or "HTTP_ERROR"),
            source=str(problem.get("source") or "server"),
            **{key: value for key, value in details.items() if key not in ("message", "code", "source", "after")},
        )
        self.status = status
        self.retryable = bool(problem.get("retryable"))


def exit_of(error: CrossdockError) -> exits.Exit:
    """Return the exit code that an error ends the command with."""
    return exits.of_status(error.status) if isinstance(error, Refused) else exits.of_error(error)


def show(error: CrossdockError) -> None:
    """Write an error to standard error."""
    output.note(f"{error.code} {error.message}")
    for line in _places(error.details):
        output.note(f"  {line}")
    way_out = _WAY_OUT.get(error.code)
    if way_out:
        output.note(f"  way out: {way_out}")


def _places(details: Mapping[str, Any]) -> Iterable[str]:
    """Return a line for each place that is wrong, and how many more there are."""
    lines = [_error(each) for each in _listed(details, "errors")]
    lines += [finding(each) for each in _listed(details, "findings")]
    rest = len(lines) - _MOST_PLACES
    return [*lines[:_MOST_PLACES], f"and {rest} more"] if rest > 0 else lines


def _listed(details: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = details.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _error(each: Mapping[str, Any]) -> str:
    place = f" in the {each['in']}" if each.get("in", "body") != "body" else ""
    code_ = f" ({each['code']})" if each.get("code") else ""
    return f"{each.get('pointer') or '/'}{place}: {each.get('message', '')}{code_}"


def finding(each: Mapping[str, Any]) -> str:
    """Write a finding of a check as `file:line:col CODE message (did you mean …?)`."""
    warning = "warning: " if each.get("severity") == "warning" else ""
    meant = f" (did you mean {each['suggestion']}?)" if each.get("suggestion") else ""
    file, line, col, code_, message = (each.get(key, "?") for key in ("file", "line", "col", "code", "message"))
    return f"{file}:{line}:{col} {code_} {warning}{message}{meant}"
