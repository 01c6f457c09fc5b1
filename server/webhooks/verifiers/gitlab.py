"""`gitlab`: the secret token as it is, in `X-Gitlab-Token`. Hooks with a signing token are `standard-webhooks`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.webhooks.verifiers.api_key import KeyedRequests
from server.webhooks.verifiers.fields import KEY
from server.webhooks.verifiers.scheme import Scheme, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.webhooks.verifiers.scheme import Fetch


def _make(_declared: Mapping[str, Any], keys: Sequence[str], _fetch: Fetch) -> KeyedRequests:
    return KeyedRequests(keys, header="x-gitlab-token", id_header="x-gitlab-event-uuid")


SCHEME = Scheme(
    name="gitlab",
    about="the secret token in `X-Gitlab-Token`",
    fields=(KEY,),
    make=_make,
    covers_body=False,
    vectors=(
        Vector(
            about="a push",
            source="GitLab, Webhooks: the headers of a request",
            keys=["the-token-of-the-project"],
            request={
                "method": "POST",
                "path": "in",
                "headers": {
                    "x-gitlab-event": "Push Hook",
                    "x-gitlab-event-uuid": "13792a34-cac6-4fda-95a8-c58e00a3954e",
                    "x-gitlab-token": "the-token-of-the-project",
                },
                "body": b'{"object_kind": "push"}',
            },
            now=0,
            proof=("x-gitlab-token",),
        ),
    ),
)
