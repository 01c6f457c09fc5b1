"""What of the ports Tryton has no notion of, and so refuses with NOT_SUPPORTED_HERE; the table in the README is made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.sdk.ports import PORTS
from server.sdk.ports.port import NOT_SUPPORTED_HERE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from server.sdk.ports import Port

from server.sdk import Permanent

_SOURCE = "tryton"


def port_of(operation: str) -> str:
    """Return the name of the port that an operation belongs to."""
    return next(port.name for port in PORTS if any(each.name == operation for each in port))


def not_supported(operation: str, because: str = "Tryton has no notion of it", **details: Any) -> Permanent:
    """Return the refusal of a whole operation, or of what `details` name of it."""
    return Permanent(
        f"{operation}: {because}",
        code=NOT_SUPPORTED_HERE,
        source=_SOURCE,
        port=port_of(operation),
        operation=operation,
        **details,
    )


def table(answered: Iterable[str], ports: Iterable[Port] = PORTS) -> str:
    """Return the Markdown table of the README: port, what is answered, what is refused."""
    known = set(answered)
    lines = ["| port | answered | refused: NOT_SUPPORTED_HERE |", "|---|---|---|"]
    for port in ports:
        names = [each.name for each in port]
        done = ", ".join(f"`{each}`" for each in names if each in known)
        left = ", ".join(f"`{each}`" for each in names if each not in known)
        lines.append(f"| {port.name} | {done} | {left} |")
    return "\n".join(lines)
