"""Paths of the API, made of what a person named."""

from __future__ import annotations

from urllib.parse import quote

import click


def path_of(*parts: str) -> str:
    """Join parts of a path, each quoted.

    Raises:
        click.UsageError: one is empty, and the path would be that of another thing.

    """
    ctx = click.get_current_context(silent=True)
    if not all(parts):
        raise click.UsageError(f"{_empty_argument(ctx)} is empty", ctx)
    return "".join(f"/{quote(part, safe='@')}" for part in parts)


def _empty_argument(ctx: click.Context | None) -> str:
    """Return how the help calls what was given as an empty text."""
    empty = [each for each in ctx.command.params if ctx.params.get(each.name or "") == ""] if ctx else []
    return empty[0].human_readable_name if empty else "a part of the name"
