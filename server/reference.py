"""The generated pages of docs/: settings, error codes, events, permissions, metrics, and one page per aggregate.

`python -m server.reference` writes them; a test holds them equal to what the code declares, so they cannot lie.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import sys
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import server
from server.authoring.reference import reference_page
from server.config import Settings
from server.flows.aggregate import Flow
from server.integrations.aggregate import Integration
from server.integrations.plugins import discover
from server.kernel.errors import declared_codes
from server.kernel.lifecycle import TRANSITIONS
from server.kernel.retryable import FAILURE_KINDS
from server.mapping import FUNCTIONS
from server.reactions import REACTIONS
from server.store.repository import Repository
from server.syncs.aggregate import SyncJob
from server.telemetry import metrics
from server.web.permissions import PERMISSIONS, ROLES, TOKEN_ROLES
from server.webhooks.aggregate import Webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from server.kernel.aggregate import DomainEvent
    from server.kernel.lifecycle import Declared

ROOT = Path(__file__).resolve().parents[1]
AGGREGATES: tuple[type[Declared], ...] = (Integration, Webhook, SyncJob, Flow)
_MADE = "<!-- Made by `python -m server.reference`; a test holds it equal to the code. Do not edit. -->\n"


def settings() -> str:
    """Every environment variable."""
    rows = []
    for each in fields(Settings):
        default = "" if each.default is MISSING else each.default
        shown = f"`{default}`" if default not in ("", ()) else "empty"
        rows.append((f"`{each.metadata['name']}`", shown, each.metadata["about"]))
    return _page("Settings", "Settings are environment variables, read once when a process starts.") + _table(
        ("variable", "default", "what it does"), rows
    )


def errors() -> str:
    """Every error code."""
    import_all()
    intro = (
        "Every failure has one shape, in `application/problem+json`, attempts, dead letters and logs: `code`, `message`, "
        "`source`, `details`, `retryable`. Codes are stable; their texts may improve."
    )
    again = [
        (each.name, "yes" if each.retryable else "no", ", ".join(f"`{code}`" for code in each.codes))
        for each in FAILURE_KINDS
    ]
    return (
        _page("Error codes", intro)
        + _table(("what fails", "worth another try", "codes"), again)
        + "\n"
        + _table(("code", "what it means"), [(f"`{name}`", meaning) for name, meaning in declared_codes().items()])
    )


def permissions() -> str:
    """Roles and permissions."""
    rows = [
        (f"`{name}`", about, *("yes" if name in ROLES[role] else "" for role in TOKEN_ROLES))
        for name, about in PERMISSIONS.items()
    ]
    return _page("Permissions", "What each role may do in its workspace; scopes of a token narrow its role.") + _table(
        ("permission", "allows to", *TOKEN_ROLES), rows
    )


def figures() -> str:
    """Every metric."""
    import_all()
    rows = [
        (f"`{each.name}`", each.kind, ", ".join(each.labels), each.about)
        for each in sorted(metrics.declared(), key=lambda each: each.name)
    ]
    return _page(
        "Metrics", "`GET /metrics` in the Prometheus text format; it needs a token with `health:read`."
    ) + _table(("metric", "kind", "labels", "what it counts"), rows)


def aggregate(kind: type[Declared]) -> str:
    """One aggregate: its states, its repository, its domain events."""
    name = kind.__name__
    parts = [_page(name, inspect.getdoc(kind) or "")]
    parts.append(
        "## States\n\nA new one is a draft. Every action that the table lacks is refused with `WRONG_STATE`.\n\n"
    )
    parts.append(_table(("state", "action", "becomes"), [(a, f"`{b}`", c) for (a, b), c in TRANSITIONS.items()]))
    parts.append("\n## Repository\n\n")
    parts.append(
        f"{inspect.getdoc(Repository)} For {name}: the table `{kind.kind}s`, and the same in memory; one contract test "
        "holds both (`tests/aggregates/test_repository_contract.py`).\n\n"
    )
    methods = [each for each in vars(Repository).items() if not each[0].startswith("_") and callable(each[1])]
    parts.append(_table(("method", "what it does"), [(f"`{n}`", (inspect.getdoc(m) or "")) for n, m in methods]))
    parts.append(
        "\n## Domain events\n\nEach is stored in the journal and published in the transaction of its change, with the "
    )
    parts.append("aggregate's id, version and name, the principal, workspace, correlation and causation.\n\n")
    parts.append(_table(("event", "published as", "what happened", "fields"), [_event(each) for each in kind.events]))
    return "".join(parts)


def functions() -> str:
    """The function library of expressions."""
    intro = (
        f"{len(FUNCTIONS)} functions, {sum(each.standard for each in FUNCTIONS.values())} of them JMESPath's own. Ours answer "
        "null for null. Each is pure and versioned; each example is a test."
    )
    rows = [
        (
            f"`{each.signature}`",
            f"{each.about}{' (JMESPath)' if each.standard else ''}",
            "; ".join(f"`{text}` on `{_json(scope)}` gives `{_json(result)}`" for text, scope, result in each.examples),
        )
        for _, each in sorted(FUNCTIONS.items())
    ]
    return _page("Functions", intro) + _table(("function", "what it does", "example"), rows)


def reactions() -> str:
    """What happens when."""
    rows = [
        (f"`{type_}`", f"`{reaction.__name__}`", (inspect.getdoc(reaction) or "").splitlines()[0])
        for type_, reaction in REACTIONS.items()
    ]
    intro = "What follows from our own events, after their commit: owed in the event's transaction, run from a due row."
    return _page("Reactions", intro) + _table(("event", "reaction", "what it does"), rows)


PAGES: dict[str, Callable[[], str]] = {
    "docs/definitions.md": reference_page,
    "docs/reference/settings.md": settings,
    "docs/reference/errors.md": errors,
    "docs/reference/permissions.md": permissions,
    "docs/reference/metrics.md": figures,
    "docs/reference/functions.md": functions,
    "docs/reference/reactions.md": reactions,
    **{f"docs/reference/{kind.kind}.md": partial(aggregate, kind) for kind in AGGREGATES},
}


def import_all() -> None:
    """Import every module of ours and every plugin, so that what they declare is known: codes and metrics."""
    for module in pkgutil.walk_packages(server.__path__, "server."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
    for plugin in discover().values():
        plugin.adapter_factory()


def _event(event: type[DomainEvent]) -> tuple[str, ...]:
    about = (inspect.getdoc(event) or "").splitlines()[0]
    return (event.__name__, f"`{event.type()}`", about, ", ".join(f"`{each.name}`" for each in fields(event)))


def _json(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _page(title: str, intro: str) -> str:
    return f"# {title}\n\n{_MADE}\n{intro}\n\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines.extend(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in rows)
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write every page."""
    for path, page in PAGES.items():
        file = ROOT / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
