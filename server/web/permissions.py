"""Who may do what: named permissions, four roles over them in one table, and the mark that every route must carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from server.kernel.errors import CrossdockError, code

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

F = TypeVar("F", bound="Callable[..., Any]")
Role = Literal["viewer", "operator", "editor", "admin", "instance"]

ROUTE_UNDECLARED = code(
    "ROUTE_UNDECLARED", "A route says neither @requires, @known nor @public: the server does not start."
)

_TABLE: dict[str, tuple[Role, str]] = {
    "events:read": ("viewer", "read events and the catalogue of event types"),
    "definitions:read": ("viewer", "read definitions, their versions, and what they declare"),
    "deliveries:read": ("viewer", "read deliveries, attempts and dead letters"),
    "plugins:read": ("viewer", "list plugins and their operations"),
    "health:read": ("viewer", "read the figures and the health of the workspace"),
    "workspaces:read": ("viewer", "see the workspaces of the organization, and which networks one's own may reach"),
    "events:publish": ("operator", "publish events"),
    "webhooks:operate": ("operator", "pause, resume, trigger and test webhooks"),
    "integrations:operate": ("operator", "pause, resume and test integrations"),
    "syncs:operate": ("operator", "run, pause and resume sync jobs"),
    "flows:operate": ("operator", "start, cancel, retry and decide runs of flows, pause and resume flows"),
    "deliveries:retry": ("operator", "retry, replay and discard deliveries and dead letters"),
    "secrets:list": ("operator", "see the names and dates of secrets, never their values"),
    "definitions:apply": ("editor", "apply, roll back and remove definitions"),
    "secrets:write": ("editor", "set, rotate and delete secrets"),
    "tokens:manage": ("admin", "create, list and revoke tokens"),
    "members:manage": ("admin", "add people to the workspace, change their role and remove them"),
    "audit:read": ("admin", "read the audit trail"),
    "workspaces:manage": ("admin", "create workspaces in the organization"),
    "keys:rotate": (
        "instance",
        "encrypt the secrets of all workspaces anew: only whoever runs the instance, never a token",
    ),
    "networks:manage": (
        "instance",
        "say which of the instance's networks a workspace may reach: only whoever runs the instance, never a token",
    ),
    "organizations:manage": ("instance", "create organizations: only whoever runs the instance, never a token"),
}
_ORDER: tuple[Role, ...] = ("viewer", "operator", "editor", "admin", "instance")

PERMISSIONS: dict[str, str] = {name: about for name, (_, about) in _TABLE.items()}
"""Every permission and what it allows."""

ROLES: dict[Role, frozenset[str]] = {
    role: frozenset(name for name, (least, _) in _TABLE.items() if _ORDER.index(least) <= _ORDER.index(role))
    for role in _ORDER
}
"""What each role may; each holds all of the one before. `instance` is the local command line's and no token's."""

TOKEN_ROLES: tuple[Role, ...] = _ORDER[:-1]
"""The roles that a token or a member can have."""

PUBLIC = "public"
KNOWN = "known"
_MARK = "crossdock_permission"


def lesser(one: Role, other: Role) -> Role:
    """Return the role that may less."""
    return _ORDER[min(_ORDER.index(one), _ORDER.index(other))]


def requires(permission: str) -> Callable[[F], F]:
    """Mark a view: whoever calls it needs `permission`. The guard checks it before the body is looked at.

    Raises:
        ValueError: no such permission in the table.

    """
    if permission not in PERMISSIONS:
        raise ValueError(f"no permission {permission!r}: add it to the table in server/web/permissions.py")

    def mark(view: F) -> F:
        setattr(view, _MARK, permission)
        return view

    return mark


def public(view: F) -> F:
    """Mark a view that anybody may call."""
    setattr(view, _MARK, PUBLIC)
    return view


def known(view: F) -> F:
    """Mark a view that anybody may call who presents a valid token, whatever its permissions."""
    setattr(view, _MARK, KNOWN)
    return view


def declaration(app: Flask, endpoint: str, method: str) -> str | None:
    """Return what the view of an endpoint declares for a method, or None."""
    view = app.view_functions[endpoint]
    owner = getattr(view, "view_class", None)
    if owner is not None:
        view = getattr(owner, "get" if method in ("HEAD", "OPTIONS") else method.lower(), view)
    declared: str | None = getattr(view, _MARK, None)
    return declared


def undeclared_routes(app: Flask) -> list[str]:
    """Return `METHOD /path` of every route that says neither @requires, @known nor @public."""
    return sorted(
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}
        if declaration(app, rule.endpoint, method) is None
    )


def refuse_undeclared(app: Flask) -> None:
    """Let no application start that has such a route.

    Raises:
        CrossdockError: ROUTE_UNDECLARED, with the routes.

    """
    missing = undeclared_routes(app)
    if missing:
        raise CrossdockError(
            f"these routes declare no permission: {', '.join(missing)}",
            code=ROUTE_UNDECLARED,
            source="web",
            routes=missing,
        )
