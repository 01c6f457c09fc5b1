"""What an answer or a failure means for a delivery, by the one table of what is worth another try.

Sources: Standard Webhooks (only 2xx is success, redirects are not followed, 410 ends the subscription, 429/502/503/504
slow down, Retry-After is obeyed); RFC 9110 for 408 and 425. A retry is due at the later of the schedule and Retry-After,
never past the delivery's expiry.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal

from server.kernel.errors import Failure, code
from server.kernel.retryable import RETRYABLE_STATUS

if TYPE_CHECKING:
    from server.kernel.policies import RetrySchedule

Verdict = Literal["delivered", "retry", "dead", "gone", "loop"]

HTTP_STATUS = code("HTTP_STATUS", "The receiver answered with a status that is not 2xx; `details.status` has it.")
DELIVERY_EXPIRED = code("DELIVERY_EXPIRED", "The delivery's time was over before it got through.")
DELIVERY_EXHAUSTED = code("DELIVERY_EXHAUSTED", "Every try of the schedule failed; the last failure is in `details`.")
DELIVERY_POISON = code(
    "DELIVERY_POISON", "Workers died or stalled on this delivery again and again; it is not tried on."
)
WEBHOOK_REMOVED = code("WEBHOOK_REMOVED", "The webhook was removed before this delivery got through.")

SUCCESS = range(200, 300)
GONE = 410
LOOP = 508
RETRY_AFTER_STATUS = frozenset({429, 502, 503, 504})
_LONGEST_PAUSE = timedelta(days=1000)  # beyond every expiry, and within what dates can hold
POISON_CLAIMS = 10  # claims without an outcome; a kill now and then is normal, ten are not
SUSPECT_CLAIMS = 3  # from here on few at a time, so that little else is there when its worker dies


def verdict(status: int) -> Verdict:
    """Tell what an HTTP status means."""
    if status in SUCCESS:
        return "delivered"
    if status == GONE:
        return "gone"
    if status == LOOP:
        return "loop"
    return "retry" if status in RETRYABLE_STATUS else "dead"


def status_failure(status: int) -> Failure:
    """Describe a status that is not success."""
    meaning = {
        "gone": "it is gone for good",
        "loop": "the chain of events is a loop",
        "retry": "worth another try",
        "dead": "the same again would be refused again",
    }
    kind = verdict(status)
    return Failure(
        HTTP_STATUS,
        f"the receiver answered {status}: {meaning.get(kind, kind)}",
        "delivery",
        {"status": status},
        retryable=kind == "retry",
    )


def retry_after(status: int, value: str | None, now: datetime) -> timedelta | None:
    """Read Retry-After, in seconds or as a date, where the status makes it count; nonsense is no pause."""
    if status not in RETRY_AFTER_STATUS or not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), _LONGEST_PAUSE)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    pause = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    return min(max(pause, timedelta(0)), _LONGEST_PAUSE)


@dataclass(frozen=True, slots=True)
class Retry:
    """When to try again, or None and why not."""

    at: datetime | None
    reason: str | None = None


def next_try(
    schedule: RetrySchedule, attempts: int, now: datetime, expires_at: datetime, pause: timedelta | None, random: float
) -> Retry:
    """Decide after a retryable failure: the schedule's pause or the receiver's, whichever is longer."""
    planned = schedule.pause(attempts, random)
    if planned is None:
        return Retry(None, "exhausted")
    at = now + max(planned, pause or timedelta(0))
    return Retry(at) if at <= expires_at else Retry(None, "expired")
