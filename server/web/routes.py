"""Routes of the application. Three hundred of them are the most of what it does before it can answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule


class Route(Rule):
    """A rule whose builder of addresses is compiled when it is first used: werkzeug compiles two for each, and few are."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:  # noqa: FBT001, FBT002 (werkzeug's)
        compile_, compiled = super()._compile_builder, list[Callable[..., tuple[str, str]]]()

        def build(rule: Rule, /, **values: Any) -> tuple[str, str]:
            if not compiled:
                compiled.append(compile_(append_unknown))
            return compiled[0](rule, **values)

        return build
