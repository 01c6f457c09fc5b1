"""`stripe`: `Stripe-Signature: t=…,v1=…` over `{t}.{body}`; Stripe signs with both secrets while one is rolled."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from server.kernel.policies import parse_duration
from server.sdk.signing_schemes import StripeVerifier
from server.webhooks.inbound.arrived import Verified
from server.webhooks.verifiers.fields import DEFAULT_TOLERANCE, KEY, TOLERANCE
from server.webhooks.verifiers.reading import NoHandshake, header
from server.webhooks.verifiers.scheme import Scheme, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.webhooks.inbound.arrived import Arrived
    from server.webhooks.verifiers.scheme import Fetch


class StripeRequests(NoHandshake):
    """Verifies Stripe's requests.

    Raises:
        Invalid: KEY_INVALID.

    """

    __slots__ = ("_verifier",)

    def __init__(self, keys: Sequence[str], tolerance: float) -> None:
        self._verifier = StripeVerifier(keys, tolerance)

    def verify(self, request: Arrived, now: float) -> Verified:
        """See `Verify`. What was signed is the replay key, since a header with one signature less is still the same."""
        written = header(request, "stripe-signature")
        self._verifier.verify({"stripe-signature": written}, request.body, now)
        timestamp = next(part.strip()[2:] for part in written.split(",") if part.strip().startswith("t="))
        return Verified("", f"signed:{hashlib.sha256(timestamp.encode() + b'.' + request.body).hexdigest()}")


def _make(declared: Mapping[str, Any], keys: Sequence[str], _fetch: Fetch) -> StripeRequests:
    return StripeRequests(keys, parse_duration(declared.get("tolerance", DEFAULT_TOLERANCE)))


SCHEME = Scheme(
    name="stripe",
    about="`Stripe-Signature`",
    fields=(KEY, TOLERANCE),
    make=_make,
    vectors=(
        Vector(
            about="by the newer of two secrets",
            source="signed by stripe-python 16.1, the key and body of its tests",
            keys=["whsec_other", "whsec_test_secret"],
            request={
                "method": "POST",
                "path": "in",
                "headers": {
                    "stripe-signature": "t=1492774577,"
                    "v1=c2f890decbc5ede7c5060bb9a6d31e0626a4342bacb9aeae2adb1bcea72f9812"
                },
                "body": b'{\n  "id": "evt_test_webhook",\n  "object": "event"\n}',
            },
            now=1492774577,
        ),
    ),
)
