"""Rows as plain values."""

from __future__ import annotations

from typing import Any


def values_of(row: Any) -> dict[str, Any]:
    """Return a row by the names of its columns, as plain texts: SQLAlchemy's are of a kind of their own."""
    return {str(name): value for name, value in row._mapping.items()}  # noqa: SLF001 - SQLAlchemy's public name for it
