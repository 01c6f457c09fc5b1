"""`svix`: Standard Webhooks under Svix's own header names, as Clerk, Resend and others send them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.webhooks.verifiers.fields import KEY
from server.webhooks.verifiers.scheme import Scheme, Vector
from server.webhooks.verifiers.standard_webhooks import StandardRequests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.webhooks.verifiers.scheme import Fetch


def _make(_declared: Mapping[str, Any], keys: Sequence[str], _fetch: Fetch) -> StandardRequests:
    return StandardRequests(keys, "svix")


SCHEME = Scheme(
    name="svix",
    about="as `standard-webhooks`, in `svix-id`, `svix-timestamp` and `svix-signature`",
    fields=(KEY,),
    make=_make,
    vectors=(
        Vector(
            about="the documented example",
            source="Svix, Verifying webhooks manually; the test vector of its libraries",
            keys=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
            request={
                "method": "POST",
                "path": "in",
                "headers": {
                    "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
                    "svix-timestamp": "1614265330",
                    "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
                },
                "body": b'{"test": 2432232314}',
            },
            now=1614265330,
        ),
    ),
)
