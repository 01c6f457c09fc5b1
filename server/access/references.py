"""`{secret: NAME}` and `{env: NAME, default: …}` inside a configuration: found, and resolved by the server when it is used.

The environment belongs to the whole instance, and whoever may apply a definition may read what it refers to. So our own settings
and whatever looks like a credential, by name or by value, is refused: that is what secrets are for.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from server.documents.values import ENV_REFUSED, env_name_refused, is_env, is_secret
from server.kernel.errors import Permanent, Retryable, code

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from server.access.secrets import Secrets
    from server.store import Tx

ENV_MISSING = code("ENV_MISSING", "The server's environment lacks this variable, and `{env: …}` gives no default.")

_CREDENTIAL_VALUE = re.compile(r"://[^/\s@]*:[^/\s@]*@|-----BEGIN ")


def secret_names(config: Any) -> set[str]:
    """Return the names of all secrets that a configuration refers to."""
    return {node["secret"] for node in _nodes(config) if is_secret(node)}


def resolve_config(tx: Tx, secrets: Secrets, config: Any, env: Mapping[str, str] | None = None) -> Any:
    """Return a copy of a configuration with each reference replaced by its newest value; keep it out of logs.

    Raises:
        Retryable: SECRET_MISSING, SECRET_UNREADABLE or ENV_MISSING: it passes once somebody has set it right.
        Permanent: ENV_REFUSED.

    """
    names = secret_names(config)
    values = secrets.resolve_many(tx, names) if names else {}
    return _filled(config, values, os.environ if env is None else env)


def fill_config(config: Any, values: Mapping[str, Sequence[str]], env: Mapping[str, str] | None = None) -> Any:
    """Do as `resolve_config` with values of secrets that were read already, all that it refers to among them."""
    return _filled(config, values, os.environ if env is None else env)


def env_value(node: Mapping[str, Any], env: Mapping[str, str]) -> Any:
    """Return the value of `{env: NAME, default: …}`; see `resolve_config` for what it raises."""
    name = node["env"]
    if env_name_refused(name):
        raise Permanent(f"the variable {name[:128]} is not for definitions", code=ENV_REFUSED, source="access")
    if name not in env:
        if "default" in node:
            return node["default"]
        raise Retryable(f"the variable {name} is not set", code=ENV_MISSING, source="access", env=name)
    if _CREDENTIAL_VALUE.search(env[name]):
        raise Permanent(f"the value of the variable {name} holds a credential", code=ENV_REFUSED, source="access")
    return env[name]


def _nodes(config: Any) -> Iterator[Any]:
    yield config
    if isinstance(config, dict | list):
        for each in config.values() if isinstance(config, dict) else config:
            yield from _nodes(each)


def _filled(config: Any, values: Mapping[str, Sequence[str]], env: Mapping[str, str]) -> Any:
    if is_secret(config):
        return values[config["secret"]][0]
    if is_env(config):
        return env_value(config, env)
    if isinstance(config, dict):
        return {key: _filled(each, values, env) for key, each in config.items()}
    if isinstance(config, list):
        return [_filled(each, values, env) for each in config]
    return config
