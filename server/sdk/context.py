"""What a plugin knows of a call beside its input."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.kernel.errors import Permanent, code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    import requests
    from sqlalchemy.engine import Engine

    from server.kernel.clock import Clock
    from server.sdk.files import Files

NOT_HERE = code("NOT_HERE", "What the plugin asks its context for is not given to this kind of call.")


def _no_databases(_url: str) -> Engine:
    raise Permanent("no databases are given to this call", code=NOT_HERE, source="plugin")


def _no_files(_url: str, _options: Mapping[str, Any]) -> Files:
    raise Permanent("no files are given to this call", code=NOT_HERE, source="plugin")


def _no_store() -> Engine:
    raise Permanent("no database of our own is given to this call", code=NOT_HERE, source="plugin")


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whose call it is, by name."""

    organization: str
    workspace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One call. `http` is a `requests.Session` on the guarded transport; `config` has its secrets resolved.

    `sql(url)` returns a SQLAlchemy engine on the guarded transport, pooled and this workspace's own;
    `store()` returns an engine on Crossdock's own PostgreSQL for a plugin that keeps data of its own: what it makes lies in the
    schema `plugin_NAME`, and every row has to name its tenant.
    `files(url, options)` a place with files (`server.sdk.files`), to be closed.
    `retry_count` is 0 at the first try. `idempotency_key` is the same at every try of the same call: send it along.
    `timestamp` is when this try began, `metadata` is whatever the definition says. The config is not shown by `repr`.
    """

    correlation_id: str
    tenant: Tenant
    user: str | None
    timestamp: datetime
    http: requests.Session = field(repr=False)
    clock: Clock
    config: Mapping[str, Any] = field(repr=False)
    retry_count: int = 0
    idempotency_key: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    store: Callable[[], Engine] = field(default=_no_store, repr=False)
    sql: Callable[[str], Engine] = field(default=_no_databases, repr=False)
    files: Callable[[str, Mapping[str, Any]], Files] = field(default=_no_files, repr=False)
