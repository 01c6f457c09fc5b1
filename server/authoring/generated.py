"""The files that are made from the declarations and committed: `python -m server.authoring.generated` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from server.authoring import reference, schema

if TYPE_CHECKING:
    from collections.abc import Callable

FILES: dict[str, Callable[[], str]] = {
    schema.FILE: schema.schema_text,
    reference.FILE: reference.reference_page,
}


def write(root: Path) -> None:
    """Write every generated file under the checkout's root."""
    for name, made in FILES.items():
        (root / name).write_text(made(), "utf-8")


if __name__ == "__main__":
    write(Path.cwd())
