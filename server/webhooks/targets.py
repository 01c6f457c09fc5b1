"""Where a webhook's deliveries go: its definition, compiled, with address, credentials and signer. Cached for seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from server.kernel.errors import Retryable, code
from server.sdk.signing import Signer
from server.webhooks.outbound import OutboundWebhook, webhook_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from server.integrations.endpoints import Endpoints
    from server.integrations.gates import Link
    from server.integrations.policies import Policy
    from server.store import Store
    from server.store.engine import Scope

    Key = tuple[UUID, int, int | None]  # a webhook, its version, and that of the integration behind it

TARGET_UNKNOWN = code(
    "TARGET_UNKNOWN", "The webhook's integration or secret is missing; the delivery is tried again later."
)
_SECONDS = 5.0
_CACHED = 20_000
_NONE: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Target:
    """All that a delivery needs to know of its webhook.

    The request's URL is `origin`, the rendered path, which begins with `base_path`, and `query`.
    """

    webhook: OutboundWebhook
    origin: str
    base_path: str
    query: str
    headers: Mapping[str, str]
    signer: Signer | None
    link: Link | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Of the integration: a careless receiver echoes them, and people who may read attempts may not read secrets."""


class Secrets(Protocol):
    """What access/ offers: the valid values of a secret, newest first."""

    def __call__(self, tx: Any, name: str) -> list[str]:
        """Return the values.

        Raises:
            NotFound: no such secret.

        """
        ...


class Targets:
    """Builds targets from the database, and keeps each for five seconds: a rotated secret is in use by then."""

    def __init__(self, store: Store, endpoints: Endpoints, secrets: Secrets) -> None:
        self.store = store
        self.endpoints = endpoints
        self.secrets = secrets
        self._cache: dict[Key, tuple[float, Target]] = {}

    def cached(self, key: Key) -> Target | None:
        """Return the target if it is fresh."""
        found = self._cache.get(key)
        return found[1] if found and found[0] > time.monotonic() else None

    def build(self, scope: Scope, cause: Any, key: Key) -> Target:
        """Read and compile a target.

        Raises:
            Retryable: TARGET_UNKNOWN, something it refers to is missing for now.

        """
        with self.store.begin(scope, cause) as tx:
            row = tx.one("SELECT body FROM webhooks WHERE workspace_id = :workspace_id AND id = :id", id=key[0])
            if row is None:
                raise Retryable("the webhook is not there", code=TARGET_UNKNOWN, source="delivery")
            webhook = webhook_of(row.body)
            found = self.endpoints(tx, webhook.integration) if webhook.integration else None
            keys = [value for name in webhook.sign_secrets for value in self.secrets(tx, name)]
        parts = urlsplit(found.base_url if found else webhook.url or "")
        target = Target(
            _under_policy(webhook, row.body, found.link.policy) if found else webhook,
            f"{parts.scheme}://{parts.netloc}",
            parts.path.rstrip("/"),
            parts.query,
            found.headers if found else _NONE,
            Signer(keys) if keys else None,
            link=found.link if found else None,
            secrets=found.secrets if found else (),
        )
        if len(self._cache) >= _CACHED:
            self._cache.clear()
        self._cache[key] = (time.monotonic() + _SECONDS, target)
        return target


def _under_policy(webhook: OutboundWebhook, body: Mapping[str, Any], policy: Policy) -> OutboundWebhook:
    """Let a named policy say what the webhook itself does not: its retries and its time-out."""
    if not policy.named:
        return webhook
    return replace(
        webhook,
        retry=webhook.retry if "retry" in body else policy.retry,
        timeout=webhook.timeout if "timeout" in body else policy.timeout,
    )
