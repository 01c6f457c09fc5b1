"""An outbound webhook as the delivery engine sees it: the typed view of a checked definition."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from server.documents.values import secrets_in
from server.events.matching import pins_of, unpinned
from server.integrations.fallback import Fallback, fallback_of
from server.integrations.policies import RateFigures, rate_of
from server.kernel.policies import Growing, RetrySchedule, parse_duration, schedule_from
from server.queue.claims import NORMAL, PRIORITIES
from server.webhooks.compiling import PLACE, Compiled, compile_webhook

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_TIMEOUT = "20s"
DEFAULT_EXPIRES = "5d"
DEFAULT_IN_FLIGHT = 10
DEFAULT_PRIORITY = "normal"
DEFAULT_ON_STUCK = "block"
RETRY = Growing(initial="1s", max="30s")


@dataclass(frozen=True)
class OutboundWebhook:
    """An outbound webhook as the delivery engine sees it. Times in seconds; `map` and expressions as written.

    `events` are types and patterns; `pins` the versions that some types are asked for in (`order.created@1`).
    `sign` is the declaration, `sign_secrets` the names of its secrets, the newest first. `url` and `integration`: exactly one is
    set.
    """

    name: str
    events: tuple[str, ...]
    integration: str | None = None
    url: str | None = None
    method: str = "POST"
    path: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    when: str | None = None
    order_by: str | None = None
    on_stuck: str = DEFAULT_ON_STUCK
    sign: Mapping[str, Any] | None = None
    sign_secrets: tuple[str, ...] = ()
    auth: Mapping[str, Any] | None = None
    retry: RetrySchedule = field(default_factory=RetrySchedule)
    timeout: float = parse_duration(DEFAULT_TIMEOUT)
    expires: float = parse_duration(DEFAULT_EXPIRES)
    max_in_flight: int = DEFAULT_IN_FLIGHT
    priority: int = NORMAL
    rate: RateFigures | None = None
    fallback: Fallback | None = None
    map: Any = None
    pins: Mapping[str, int] = field(default_factory=dict)

    @property
    def secret_names(self) -> set[str]:
        """The names of all secrets that it needs itself, those of its integration apart."""
        return {*self.sign_secrets, *secrets_in(self.auth)}

    @cached_property
    def compiled(self) -> Compiled:
        """The expressions, compiled once per webhook.

        Raises:
            ExpressionError: the body was never checked.

        """
        return compile_webhook(self.when, self.order_by, self.map, self.path, self.headers)


def webhook_of(body: Mapping[str, Any]) -> OutboundWebhook:
    """Return the typed view of a checked body, with defaults filled in."""
    request, sign = body.get("request", {}), body.get("sign")
    return OutboundWebhook(
        name=body["name"],
        events=tuple(unpinned(each)[0] for each in body["events"]),
        integration=body.get("integration"),
        url=body.get("url"),
        method=request.get("method", "POST"),
        path=request.get("path"),
        headers=request.get("headers", {}),
        when=body.get("when"),
        order_by=body.get("order_by"),
        on_stuck=body.get("on_stuck", DEFAULT_ON_STUCK),
        sign=sign,
        sign_secrets=_secret_names(sign["key"]) if sign else (),
        auth=body.get("auth"),
        retry=retry_of(body.get("retry")),
        timeout=parse_duration(body.get("timeout", DEFAULT_TIMEOUT)),
        expires=parse_duration(body.get("expires", DEFAULT_EXPIRES)),
        max_in_flight=int(body.get("max_in_flight", DEFAULT_IN_FLIGHT)),
        priority=PRIORITIES[body.get("priority", DEFAULT_PRIORITY)],
        rate=rate_of(body["rate_limit"]) if "rate_limit" in body else None,
        fallback=fallback_of(body.get("fallback"), PLACE),
        map=body.get("map"),
        pins=pins_of(body["events"]),
    )


def _secret_names(key: Any) -> tuple[str, ...]:
    return tuple(each["secret"] for each in (key if isinstance(key, list) else [key]))


def retry_of(retry: Mapping[str, Any] | None) -> RetrySchedule:
    """Return the schedule of a checked `retry`; the Standard Webhooks schedule where there is none."""
    if retry is None:
        return RetrySchedule()
    if "schedule" in retry:
        return schedule_from(retry["schedule"], float(retry.get("jitter", RETRY.jitter)))
    return RETRY.schedule(retry)
