"""What an HTTP answer means for the next try: one table for plugins and for deliveries.

status           class      code
200 to 299       done
408, 425         Retryable  UPSTREAM_FAILED
429              Retryable  UPSTREAM_LIMITED, `after` = Retry-After
500 to 599       Retryable  UPSTREAM_FAILED, `after` = Retry-After
401, 403, 407    Permanent  UPSTREAM_FORBIDDEN
404, 410         Permanent  UPSTREAM_NOT_FOUND
anything else    Permanent  UPSTREAM_REFUSED (redirects too: they are never followed)
"""

from __future__ import annotations

import json
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from server.kernel.errors import Permanent, Retryable, code
from server.kernel.retryable import RETRYABLE_STATUS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import requests

UPSTREAM_LIMITED = code("UPSTREAM_LIMITED", "The other system asks for a pause (429); tried again after it.")
UPSTREAM_FORBIDDEN = code("UPSTREAM_FORBIDDEN", "The other system does not accept our credentials (401, 403, 407).")
UPSTREAM_NOT_FOUND = code("UPSTREAM_NOT_FOUND", "The other system has no such thing (404, 410).")
ANSWER_BROKEN = code("ANSWER_BROKEN", "What came back is no complete and readable answer; tried again on the schedule.")

LONGEST_PAUSE = 31 * 86400.0
_DIGITS = re.compile(r"[0-9]{1,10}")
_SUCCESS = range(200, 300)
_LIMITED = 429
_FORBIDDEN = frozenset({401, 403, 407})
_ABSENT = frozenset({404, 410})


def retry_after(value: str | None, now: datetime) -> float | None:
    """Read a Retry-After header, seconds or a date, as seconds from `now`: 0 to 31 days, None when it is neither."""
    text = (value or "").strip()
    if _DIGITS.fullmatch(text):
        return min(float(text), LONGEST_PAUSE)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), LONGEST_PAUSE)


def failure_of(
    status: int, headers: Mapping[str, str], now: datetime, *, source: str = "http"
) -> Retryable | Permanent | None:
    """Return the failure that an answer with this status is, or None for 2xx."""
    if status in _SUCCESS:
        return None
    after = retry_after(headers.get("Retry-After"), now)
    if status == _LIMITED:
        return Retryable("answered 429", code=UPSTREAM_LIMITED, source=source, after=after, status=status)
    message = f"answered {status}"
    if status in RETRYABLE_STATUS:
        return Retryable(message, source=source, after=after, status=status)
    if status in _FORBIDDEN:
        return Permanent(message, code=UPSTREAM_FORBIDDEN, source=source, status=status)
    if status in _ABSENT:
        return Permanent(message, code=UPSTREAM_NOT_FOUND, source=source, status=status)
    return Permanent(message, source=source, status=status)


def expect_success(response: requests.Response, now: datetime, *, source: str = "http") -> requests.Response:
    """Return the response when its status is 2xx.

    Raises:
        Retryable, Permanent: as the table says; the body stays out of the message, since it may hold anything.

    """
    if failure := failure_of(response.status_code, response.headers, now, source=source):
        raise failure
    return response


def read_json(response: requests.Response, *, source: str = "http") -> Any:
    """Return the body as JSON.

    Raises:
        Retryable: ANSWER_BROKEN: not JSON, NaN, or nested too deeply.

    """
    try:
        return json.loads(response.content, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Retryable("the answer is no JSON", code=ANSWER_BROKEN, source=source) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
