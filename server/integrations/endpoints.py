"""The address and credentials behind an integration's name: what a webhook that goes through it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from server.documents.values import is_secret
from server.integrations.gates import Link
from server.integrations.policies import policy_of
from server.kernel.errors import Retryable, code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from server.integrations.credentials import Credentials, Keychain
    from server.sdk.plugin import Plugin
    from server.store import Tx

ENDPOINT_MISSING = code(
    "ENDPOINT_MISSING", "The webhook's integration is not there, or its plugin takes no webhooks; mend the definition."
)
AT_WORK = frozenset({"active", "failing"})


@dataclass(frozen=True, slots=True)
class Found:
    """Where webhooks of an integration go, with its credentials and its policy; `secrets` are not to be shown.

    `credentials` are there where its plugin leaves it to us to show who we are.
    """

    base_url: str
    headers: Mapping[str, str]
    link: Link
    secrets: tuple[str, ...] = ()
    credentials: Credentials | None = None


class Endpoints:
    """Looks an integration up in the transaction's workspace and asks its plugin where webhooks go."""

    def __init__(self, plugins: Mapping[str, Plugin], resolve: Callable[[Tx, Any], Any], keychain: Keychain) -> None:
        self.plugins = plugins
        self.resolve = resolve
        self.keychain = keychain

    def __call__(self, tx: Tx, integration: str) -> Found:
        """Return the endpoint of an integration.

        Raises:
            Retryable: ENDPOINT_MISSING, or a secret that is missing: it passes once somebody has set it right.
            Invalid: AUTH_KEY_INVALID.

        """
        row = tx.one(
            """SELECT id, body FROM integrations
               WHERE workspace_id = :workspace_id AND name = :name AND deleted_at IS NULL""",
            name=integration,
        )
        plugin = None if row is None else self.plugins.get(row.body["plugin"])
        if row is None or plugin is None:
            raise Retryable(f"no integration {integration} here", code=ENDPOINT_MISSING, source="delivery")
        config = row.body.get("config", {})
        filled = self.resolve(tx, config)
        endpoint = plugin.adapter_factory().endpoint(filled)
        if endpoint is None or not endpoint.webhooks:
            raise Retryable(f"{integration}: its plugin takes no webhooks", code=ENDPOINT_MISSING, source="delivery")
        base = endpoint.base_url
        if endpoint.query:
            base += ("&" if "?" in base else "?") + urlencode(endpoint.query)
        link = Link(tx.scope.workspace_id, row.id, policy_of(row.body))
        credentials = self.keychain.of_endpoint(tx.scope, endpoint)
        return Found(base, endpoint.headers, link, tuple(_secrets(config, filled)), credentials)


def _secrets(config: Any, filled: Any) -> Iterator[str]:
    """Yield what stands now where a configuration referred to a secret."""
    if is_secret(config):
        yield filled
    elif isinstance(config, dict):
        for key, each in config.items():
            yield from _secrets(each, filled[key])
    elif isinstance(config, list):
        for each, value in zip(config, filled, strict=True):
            yield from _secrets(each, value)
