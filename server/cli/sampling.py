"""A sample file, read on this machine by the plugin that reads such files on the server."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from server.kernel.clock import SystemClock
from server.sdk.context import Context, Tenant
from server.sdk.sources import BROKEN_ROW
from server.transport.databases import Reach
from server.transport.files import open_files
from server.transport.limits import Limits
from server.transport.sync import Connections

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from server.sdk.files import Files
    from server.sdk.sources import Dataset, Source
    from server.transport.addresses import AddressPolicy


def sampled(addresses: AddressPolicy, source: Source, place: Path) -> Dataset | None:
    """Return what the rows of a file look like, under a name made of the file's; None where there are none, or one cannot be read."""
    connections, clock = Connections(addresses, Limits()), SystemClock()

    def files(url: str, options: Mapping[str, Any]) -> Files:
        return open_files(url, options, Reach(addresses, place.resolve().parent), connections.session)

    context = Context(
        correlation_id="cli",
        tenant=Tenant("default", "default"),
        user=None,
        timestamp=clock.now(),
        http=connections.session(),
        clock=clock,
        config={"url": "file:///"},
        files=files,
    )
    try:
        found = source.discover({"path": place.name}, context)
    finally:
        connections.close()
    if not found or not found[0].schema.get("properties") or BROKEN_ROW in found[0].schema["properties"]:
        return None
    return replace(found[0], name=place.name.partition(".")[0])
