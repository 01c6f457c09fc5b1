"""A call, made ready from what is declared: the plugin, the configuration with its secrets, the policy, the addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.access.references import resolve_config, secret_names
from server.integrations.endpoints import AT_WORK
from server.integrations.gates import Link
from server.integrations.guards import UNKNOWN_OPERATION, Call
from server.integrations.policies import policy_of
from server.integrations.repository import INTEGRATIONS
from server.kernel.errors import Conflict, NotFound, Permanent, Retryable, code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from server.access.secrets import Secrets
    from server.integrations.aggregate import Integration
    from server.sdk.plugin import Plugin
    from server.store import Scope, Tx
    from server.transport.addresses import AddressPolicy

INTEGRATION_RESTS = code(
    "INTEGRATION_RESTS", "The integration is a draft, paused or disabled: it calls nothing until it is active."
)
PLUGIN_MISSING = code("PLUGIN_MISSING", "The integration's plugin is not installed on this server.")


@dataclass(frozen=True, slots=True)
class Making:
    """Makes calls, each in a transaction that ends before the other system is asked."""

    secrets: Secrets
    plugins: Mapping[str, Plugin]
    addresses: Callable[[Scope], AddressPolicy]

    def call(
        self, tx: Tx, integration: Integration, operation: str, values: Mapping[str, Any], *, key: str | None = None
    ) -> Call:
        """Return the call of an operation of an integration that is at work.

        Raises:
            NotFound: UNKNOWN_OPERATION.
            Conflict: INTEGRATION_RESTS, PLUGIN_MISSING; a secret or variable that the config refers to cannot be read.

        """
        if integration.state not in AT_WORK:
            raise Conflict(f"integration {integration.name} is {integration.state}", code=INTEGRATION_RESTS)
        call = self.ready(tx, integration, operation, values, key=key)
        known = call.plugin.manifest.operations
        if operation not in known:
            message = f"{call.plugin.name} has no operation {operation[:100]}"
            raise NotFound(message, code=UNKNOWN_OPERATION, known=list(known))
        return call

    def named(self, tx: Tx, name: str, operation: str, values: Mapping[str, Any], *, key: str | None = None) -> Call:
        """Return the call of an operation of the integration of that name; NotFound too when there is none."""
        return self.call(tx, INTEGRATIONS.get(tx, name), operation, values, key=key)

    def ready(
        self, tx: Tx, integration: Integration, operation: str, values: Mapping[str, Any], *, key: str | None = None
    ) -> Call:
        """Return the call whatever the integration's state, of an operation that may be none.

        Raises:
            Conflict: PLUGIN_MISSING; a secret or variable that the config refers to cannot be read.

        """
        plugin = self.plugins.get(integration.body["plugin"])
        if plugin is None:
            raise Conflict(f"the plugin {integration.body['plugin']} is not installed", code=PLUGIN_MISSING)
        policy = policy_of(integration.body)
        config = integration.body.get("config", {})
        try:
            names = secret_names(config)
            found = self.secrets.resolve_many(tx, names) if names else {}
            filled = resolve_config(tx, self.secrets, config)
        except (Retryable, Permanent) as error:
            # The other system was not even asked: it is for the workspace to set the secret or the variable right.
            raise Conflict(error.message, code=error.code, source=error.source, **error.details) from error
        return Call(
            organization=tx.scope.organization,
            workspace=tx.scope.workspace,
            integration=integration.name,
            plugin=plugin,
            operation=operation,
            input=values,
            config=filled,
            addresses=self.addresses(tx.scope),
            correlation_id=tx.cause.correlation_id,
            secrets=tuple(value for each in found.values() for value in each),
            timeout=policy.timeout,
            link=Link(tx.scope.workspace_id, integration.id, policy),
            scope=tx.scope,
            user=tx.cause.principal,
            idempotency_key=key,
            metadata={"integration_version": integration.definition_version},
        )
