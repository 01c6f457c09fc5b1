"""Where a webhook's deliveries go: its definition, compiled, with address, credentials and signer."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode, urlsplit

from server.access.references import fill_config
from server.access.secrets import SECRET_MISSING
from server.integrations.gates import limited
from server.kernel.errors import CrossdockError, Invalid, Retryable, Unavailable, code
from server.sdk.signing_schemes import signer_of
from server.transport.redaction import hide, redact_headers
from server.webhooks import pinning
from server.webhooks.outbound import OutboundWebhook, webhook_of
from server.webhooks.signing import of_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from uuid import UUID

    from server.integrations.credentials import Credentials
    from server.integrations.endpoints import Endpoints, Found
    from server.integrations.gates import Link
    from server.integrations.policies import Policy
    from server.sdk.signing_schemes import RequestSigner
    from server.store import Scope, Store, Tx
    from server.transport.addresses import AddressPolicy

    # A webhook, its version, the integration's behind it, the secrets', and that of the definition to which a replay is pinned.
    Key = tuple[UUID, int, int | None, int, int | None]

TARGET_UNKNOWN = code(
    "TARGET_UNKNOWN", "The webhook's integration or secret is missing; the delivery is tried again later."
)
_SECONDS = 30.0
_AGAIN_SECONDS = 1.0  # what could not be built
_CACHED = 20_000
_NONE: Mapping[str, str] = {}


@dataclass(frozen=True)
class Target:
    """All that a delivery needs to know of its webhook.

    The request's URL is `origin`, the rendered path, which begins with `base_path`, and `query`.
    """

    webhook: OutboundWebhook
    origin: str
    base_path: str
    query: str
    headers: Mapping[str, str]
    signer: RequestSigner | None
    addresses: AddressPolicy
    link: Link | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Of integration, auth and sign: a careless receiver echoes them, and who may read attempts may not read secrets."""
    auth: Credentials | None = None
    definition_version: int | None = None
    """That of the definition which makes the payload."""

    @property
    def hidden(self) -> tuple[str, ...]:
        """The secrets, and the token of now."""
        return self.secrets if self.auth is None else (*self.secrets, *self.auth.secrets)

    @cached_property
    def shown_headers(self) -> dict[str, str]:
        """The headers of every request, as attempts show them."""
        shown: dict[str, str] = hide(redact_headers(self.headers), self.secrets)
        return shown


class Secrets(Protocol):
    """What access/ offers: the valid values of secrets, newest first, and until when that stays so."""

    def valid(self, tx: Any, names: Collection[str]) -> tuple[dict[str, list[str]], float | None]:
        """Return the values of those that are there, and the seconds until the first of them ends."""
        ...


class Targets:
    """Builds targets from the database, those of a batch together, and keeps them.

    A changed webhook, integration or secret has another key; an overlap of secrets ends the target built with it.
    """

    def __init__(
        self, store: Store, endpoints: Endpoints, secrets: Secrets, addresses: Callable[[Tx], AddressPolicy]
    ) -> None:
        self.store = store
        self.endpoints = endpoints
        self.secrets = secrets
        self.addresses = addresses
        self._cache: dict[Key, tuple[float, Target | CrossdockError]] = {}
        self._lasting: set[Key] = set()

    def known(self, key: Key) -> bool:
        """Tell whether there is an answer that is fresh: a target, or why there is none."""
        found = self._cache.get(key)
        return found is not None and found[0] > time.monotonic()

    def get(self, key: Key) -> Target | None:
        """Return the target if it is fresh.

        Raises:
            Retryable: TARGET_UNKNOWN or what its parts say: something it refers to is missing for now.

        """
        found = self._cache.get(key)
        if found is None or found[0] <= time.monotonic():
            return None
        if isinstance(found[1], CrossdockError):
            raise found[1].with_traceback(None)
        return found[1]

    def build(self, scope: Scope, cause: Any, keys: Sequence[Key]) -> None:
        """Read and compile the targets of a workspace; one that cannot be built is remembered as such for a second.

        Raises:
            Unavailable: the database is away.

        """
        with self.store.begin(scope, cause) as tx:
            addresses = self.addresses(tx)
            keys = [key for key in keys if not self._renewed(key, addresses)]
            if not keys:
                return
            rows = tx.all(
                "SELECT id, body, definition_version FROM webhooks WHERE workspace_id = :workspace_id AND id = ANY(:ids)",
                ids=[key[0] for key in keys],
            )
            bodies = {row.id: row.body for row in rows}
            versions = {row.id: row.definition_version for row in rows}
            webhooks = {id_: webhook_of(body) for id_, body in bodies.items()}
            earlier = pinning.bodies(tx, {(key[0], key[4]) for key in keys})
            names = {name for webhook in webhooks.values() for name in webhook.secret_names}
            values, ends = self.secrets.valid(tx, names) if names else ({}, None)
            endpoints: dict[str, Found | CrossdockError] = {}
            for key in keys:
                made: Target | CrossdockError
                try:
                    made = self._make(
                        tx, key, webhooks.get(key[0]), bodies.get(key[0], {}), values, endpoints, addresses
                    )
                    made = _of_version(made, versions[key[0]], key[4], earlier.get((key[0], key[4])))
                except Unavailable:
                    raise
                except CrossdockError as error:
                    made = error
                self._keep(key, made, ends)

    def _make(
        self,
        tx: Tx,
        key: Key,
        webhook: OutboundWebhook | None,
        body: Mapping[str, Any],
        values: Mapping[str, list[str]],
        endpoints: dict[str, Found | CrossdockError],
        addresses: AddressPolicy,
    ) -> Target:
        if webhook is None:
            raise Retryable("the webhook is not there", code=TARGET_UNKNOWN, source="delivery", webhook=str(key[0]))
        missing = sorted(name for name in webhook.secret_names if name not in values)
        if missing:
            raise Retryable(
                f"no secret {missing[0]} in {tx.scope}", code=SECRET_MISSING, source="delivery", secret=missing[0]
            )
        found = self._endpoint(tx, webhook.integration, endpoints) if webhook.integration else None
        auth = found.credentials if found else self._auth(tx, webhook, values)
        parts = urlsplit(_with_query(found.base_url if found else webhook.url or "", auth if not found else None))
        return Target(
            _under_policy(webhook, body, found.link.policy) if found else webhook,
            f"{parts.scheme}://{parts.netloc}",
            parts.path.rstrip("/"),
            parts.query,
            found.headers if found else _NONE,
            _signer(webhook, values),
            addresses,
            link=limited(found.link if found else None, tx.scope.workspace_id, key[0], webhook.rate),
            secrets=(
                *(found.secrets if found else ()),
                *(each for name in webhook.secret_names for each in values[name]),
            ),
            auth=auth,
        )

    def _auth(self, tx: Tx, webhook: OutboundWebhook, values: Mapping[str, list[str]]) -> Credentials | None:
        """Return what a webhook without an integration shows its receiver."""
        if webhook.auth is None:
            return None
        return self.endpoints.keychain.credentials(tx.scope, fill_config(webhook.auth, values))

    def _endpoint(self, tx: Tx, name: str, known: dict[str, Found | CrossdockError]) -> Found:
        """Look an integration up once for all webhooks that go through it."""
        if name not in known:
            try:
                known[name] = self.endpoints(tx, name)
            except Unavailable:
                raise
            except CrossdockError as error:
                known[name] = error
        found = known[name]
        if isinstance(found, CrossdockError):
            raise found
        return found

    def _renewed(self, key: Key, addresses: AddressPolicy) -> bool:
        """Let a target that has run out go on where the networks are the only part of it that may have changed."""
        found = self._cache.get(key)
        if found is None or key not in self._lasting or isinstance(found[1], CrossdockError):
            return False
        same = found[1].addresses == addresses
        self._keep(key, found[1] if same else replace(found[1], addresses=addresses), None)
        return True

    def _keep(self, key: Key, made: Target | CrossdockError, ends: float | None) -> None:
        seconds = _AGAIN_SECONDS if isinstance(made, CrossdockError) else _SECONDS * random.uniform(0.8, 1.2)  # noqa: S311 - not all at once
        if ends is not None:
            seconds = min(seconds, max(ends, _AGAIN_SECONDS))
        if len(self._cache) >= _CACHED:
            self._cache.clear()
            self._lasting.clear()
        plain = isinstance(made, Target) and made.auth is None and made.webhook.integration is None
        if plain and ends is None:  # the key has the versions of all else
            self._lasting.add(key)
        else:
            self._lasting.discard(key)
        self._cache[key] = (time.monotonic() + seconds, made)


def _with_query(url: str, auth: Credentials | None) -> str:
    """Return the URL with the parameters that show who we are."""
    if auth is None or not auth.query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(auth.query)}"


def _of_version(target: Target, present: int, pin: int | None, earlier: Mapping[str, Any] | None) -> Target:
    """Say which definition makes the payload: the present one, or that to which a replay is pinned."""
    if pin is None:
        return replace(target, definition_version=present)
    return replace(target, webhook=pinning.pinned(target.webhook, earlier), definition_version=pin)


def _under_policy(webhook: OutboundWebhook, body: Mapping[str, Any], policy: Policy) -> OutboundWebhook:
    """Let a policy that says them say what the webhook itself does not: its retries and its time-out."""
    retry, timeout = (name in policy.said and name not in body for name in ("retry", "timeout"))
    if not retry and not timeout:
        return webhook
    return replace(
        webhook,
        retry=policy.retry if retry else webhook.retry,
        timeout=policy.timeout if timeout else webhook.timeout,
    )


def _signer(webhook: OutboundWebhook, values: Mapping[str, Sequence[str]]) -> RequestSigner | None:
    if not webhook.sign:
        return None
    try:
        return signer_of(webhook.sign, [value for name in webhook.sign_secrets for value in values[name]])
    except Invalid as error:
        raise of_secrets(error, webhook.sign_secrets) from error
