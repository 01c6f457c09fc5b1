"""`standard-webhooks`: `v1` and `v1a` signatures over id, timestamp and body, by several keys while they are changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.sdk.signing import Verifier
from server.webhooks.inbound.arrived import Verified
from server.webhooks.verifiers.fields import KEY
from server.webhooks.verifiers.reading import NoHandshake, header
from server.webhooks.verifiers.scheme import Scheme, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.webhooks.inbound.arrived import Arrived
    from server.webhooks.verifiers.scheme import Fetch

_PARTS = ("id", "timestamp", "signature")


class StandardRequests(NoHandshake):
    """Verifies requests whose three headers begin with `prefix`.

    Raises:
        Invalid: KEY_INVALID.

    """

    __slots__ = ("_names", "_verifier")

    def __init__(self, keys: Sequence[str], prefix: str = "webhook") -> None:
        self._verifier = Verifier(keys)
        self._names = tuple((f"webhook-{part}", f"{prefix}-{part}") for part in _PARTS)

    def verify(self, request: Arrived, now: float) -> Verified:
        """See `Verify`. A retry has the same id, so the id is what dedupes."""
        headers = {known: header(request, sent) for known, sent in self._names}
        message_id = self._verifier.verify(headers, request.body, now)
        return Verified(message_id, f"id:{message_id}")


def _make(_declared: Mapping[str, Any], keys: Sequence[str], _fetch: Fetch) -> StandardRequests:
    return StandardRequests(keys)


_SOURCE = "Standard Webhooks: the test vectors of its libraries"
_KEY_A = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_BODY_A = b'{"test": 2432232314}'
_SIGNED_A = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
_SIGNED_C = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


def _request(id_: str, timestamp: int, body: bytes, signature: str) -> dict[str, Any]:
    headers = {"webhook-id": id_, "webhook-timestamp": str(timestamp), "webhook-signature": signature}
    return {"method": "POST", "path": "in", "headers": headers, "body": body}


_A = _request("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, _BODY_A, _SIGNED_A)
_C = _request("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, _BODY_A, _SIGNED_C)
_B = _request(
    "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
    1649367553,
    b'{"email":"test@example.com","username":"test_user"}',
    "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
)
_KEY_B = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
_KEY_C = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="

SCHEME = Scheme(
    name="standard-webhooks",
    about="`webhook-signature`, `v1` by whsec_ keys and `v1a` by whpk_ or whsk_ keys",
    fields=(KEY,),
    make=_make,
    vectors=(
        Vector(about="v1", source=_SOURCE, keys=[_KEY_A], request=_A, now=1614265330),
        Vector(about="v1 of another sender", source=_SOURCE, keys=[_KEY_B], request=_B, now=1649367553),
        Vector(about="v1a by the public key", source=_SOURCE, keys=[_KEY_C], request=_C, now=1614265330),
        Vector(about="the older of two keys", source=_SOURCE, keys=[_KEY_B, _KEY_A], request=_A, now=1614265330),
        Vector(about="v1a where v1 is set", source=_SOURCE, keys=[_KEY_A], request=_C, now=1614265330, accepted=False),
    ),
)
