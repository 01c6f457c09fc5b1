"""What a port is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.kernel.errors import code
from server.sdk.adapter import Operation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NOT_SUPPORTED_HERE = code(
    "NOT_SUPPORTED_HERE", "The ERP of this integration has no notion of it; `details` name the port and the operation."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One operation of a port.

    `refuses` are the codes of the errors that a caller can count on, beside those of every call. `undo` is the operation
    that makes the effect undone, None where there is nothing to undo; `events` are those that it brings about.
    """

    operation: Operation
    refuses: tuple[str, ...] = ()
    undo: str | None = None
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Port:
    """A module: its name and its promises."""

    name: str
    promises: tuple[Promise, ...]

    def __getitem__(self, name: str) -> Operation:
        """Return the operation of that name.

        Raises:
            KeyError: the port has none.

        """
        return self.promise(name).operation

    def __iter__(self) -> Iterator[Operation]:
        return (each.operation for each in self.promises)

    def promise(self, name: str) -> Promise:
        """Return the promise about the operation of that name.

        Raises:
            KeyError: the port has none.

        """
        found = next((each for each in self.promises if each.operation.name == name), None)
        if found is None:
            raise KeyError(name)
        return found


def read(
    name: str, about: str, takes: Mapping[str, Any], gives: Mapping[str, Any], refuses: tuple[str, ...] = ()
) -> Promise:
    """Return the promise of an operation that changes nothing."""
    operation = Operation(name=name, about=about, input_schema=takes, output_schema=gives, idempotent=True)
    return Promise(operation=operation, refuses=refuses)


def write(
    name: str,
    about: str,
    takes: Mapping[str, Any],
    gives: Mapping[str, Any],
    refuses: tuple[str, ...] = (),
    *,
    undo: str | None = None,
    events: tuple[str, ...] = (),
) -> Promise:
    """Return the promise of an operation that changes something, once for each idempotency key."""
    operation = Operation(name=name, about=about, input_schema=takes, output_schema=gives, writes=True, idempotent=True)
    return Promise(operation=operation, refuses=refuses, undo=undo, events=events)
