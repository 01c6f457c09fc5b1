"""Who we are to the receiver of one try: from the target's credentials to the request's headers, and once more after a 401."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from server.transport.aio import Answer, AsyncSender, Request
    from server.webhooks.targets import Target

NOBODY: Mapping[str, str] = {}
_UNAUTHORIZED = 401
_SHORTEST = 0.1


async def identity_of(target: Target) -> Mapping[str, str]:
    """Return the headers that show who we are; at once, but for the rare time when a token must be asked for.

    Raises:
        Postponed: TOKEN_UNAVAILABLE, nothing was sent to the receiver.
        Retryable: TOKEN_REFUSED.
        Permanent: the token's URL must not be reached.

    """
    if target.auth is None:
        return NOBODY
    ready = target.auth.ready()
    return await target.auth.soon() if ready is None else ready


def over(headers: dict[str, str], identity: Mapping[str, str]) -> dict[str, str]:
    """Lay who we are over a request's own headers, in whatever case those are written."""
    if not identity:
        return headers
    names = {name.lower() for name in identity}
    return {name: value for name, value in headers.items() if name.lower() not in names} | dict(identity)


async def send(
    sender: AsyncSender,
    request: Request,
    target: Target,
    identity: Mapping[str, str],
    anew: Callable[[Mapping[str, str]], Mapping[str, str]],
) -> Answer:
    """Send a request; after a 401 once more, within the same time, if there is another token to show.

    `anew` makes its headers with that token, signed again: the signature may be over the token.

    Raises:
        Retryable, Permanent: see `transport.failures`.
        Postponed, Retryable: there is no other token for now; the receiver was reached, so this try counts.

    """
    started = monotonic()
    answer = await sender.send(request, target.addresses)
    if answer.status != _UNAUTHORIZED or target.auth is None:
        return answer
    renewed = await target.auth.renewed_soon(identity)
    if renewed is None:
        return answer
    left = max(request.timeout - (monotonic() - started), _SHORTEST)
    again = replace(request, headers=anew(renewed), timeout=left)
    return await sender.send(again, target.addresses)
