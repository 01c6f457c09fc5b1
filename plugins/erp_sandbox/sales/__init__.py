"""The module `sales`: what it answers, by the operation's name. `READS` change nothing; `WRITES` are done once for each key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox.sales import customers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Desk, Work


def _upsert(desk: Desk, given: Mapping[str, Any]) -> dict[str, Any]:
    written = customers.write(desk, [given], "external_id")
    row = customers.get(desk, {"external_id": given["external_id"]})
    return {**customers.shown(row), "change": written.changes[0]}


def _archive(desk: Desk, given: Mapping[str, Any]) -> dict[str, Any]:
    return customers.archive(desk, [customers.get(desk, given, lock=True)])[0]


READS: dict[str, Work] = {
    "customers.get": lambda desk, given: customers.shown(customers.get(desk, given)),
    "customers.search": customers.search,
}
WRITES: dict[str, Work] = {
    "customers.upsert": _upsert,
    "customers.archive": _archive,
}

__all__ = ["READS", "WRITES"]
