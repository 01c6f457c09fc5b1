"""The exit codes of every command: one table, which docs/cli.md shows. Scripts rely on them."""

from __future__ import annotations

from enum import IntEnum
from http import HTTPStatus

from server.kernel import errors


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    DENIED = 5
    AWAY = 6
    INTERNAL = 7
    UNFINISHED = 8
    INTERRUPTED = 130


MEANING: dict[Exit, str] = {
    Exit.OK: "Done.",
    Exit.FAILED: "A check or test found something, or the content was refused; the output names each place.",
    Exit.USAGE: "The command line itself is wrong.",
    Exit.NOT_FOUND: "There is no such thing in the workspace.",
    Exit.CONFLICT: "The present state does not allow it: it exists, it has changed since, another owns it.",
    Exit.DENIED: "No valid token, or its role may not do this.",
    Exit.AWAY: "The server, its database or the other system is away or too busy; the same may succeed later.",
    Exit.INTERNAL: "Something broke inside Crossdock.",
    Exit.UNFINISHED: "The time of `--wait` is over; what was waited for goes on.",
    Exit.INTERRUPTED: "Ctrl-C.",
}

_OF_STATUS: dict[int, Exit] = {
    HTTPStatus.UNAUTHORIZED: Exit.DENIED,
    HTTPStatus.FORBIDDEN: Exit.DENIED,
    HTTPStatus.NOT_FOUND: Exit.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT: Exit.AWAY,
    HTTPStatus.CONFLICT: Exit.CONFLICT,
    HTTPStatus.PRECONDITION_FAILED: Exit.CONFLICT,
    HTTPStatus.PRECONDITION_REQUIRED: Exit.CONFLICT,
    HTTPStatus.TOO_MANY_REQUESTS: Exit.AWAY,
    HTTPStatus.BAD_GATEWAY: Exit.AWAY,
    HTTPStatus.SERVICE_UNAVAILABLE: Exit.AWAY,
    HTTPStatus.GATEWAY_TIMEOUT: Exit.AWAY,
    HTTPStatus.LOOP_DETECTED: Exit.FAILED,
}
_OF_CLASS: dict[type[errors.CrossdockError], Exit] = {
    errors.Unauthenticated: Exit.DENIED,
    errors.Forbidden: Exit.DENIED,
    errors.NotFound: Exit.NOT_FOUND,
    errors.BodyTimeout: Exit.AWAY,
    errors.Conflict: Exit.CONFLICT,
    errors.PreconditionFailed: Exit.CONFLICT,
    errors.PreconditionMissing: Exit.CONFLICT,
    errors.TooMany: Exit.AWAY,
    errors.Unavailable: Exit.AWAY,
    errors.Rejected: Exit.FAILED,
    errors.Skipped: Exit.CONFLICT,
    errors.Permanent: Exit.AWAY,
    errors.Retryable: Exit.AWAY,
    errors.Postponed: Exit.AWAY,
    errors.CrossdockError: Exit.INTERNAL,
}


def of_status(status: int) -> Exit:
    """Return the exit code that an HTTP status (400 and up) stands for."""
    if status in _OF_STATUS:
        return _OF_STATUS[status]
    return Exit.INTERNAL if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Exit.FAILED


def of_error(error: errors.CrossdockError) -> Exit:
    """Return the exit code of an error that was raised on this side; the same as its HTTP status would give."""
    return next(_OF_CLASS[each] for each in type(error).__mro__ if each in _OF_CLASS)
