"""REST of access: secrets, tokens, members, workspaces, the audit trail, and who I am."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from server.access import audit, members, schemas, tenants, tokens
from server.access.secrets import rewrap
from server.kernel import ids
from server.kernel.errors import NotFound
from server.store import Tx
from server.web import current
from server.web.answers import answer
from server.web.idempotency import remember, secret_answer
from server.web.paging import PageQuery, after, page, page_of
from server.web.permissions import known, requires
from server.web.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from flask import Response

    from server.access.networks import Networks
    from server.access.secrets import Secrets
    from server.store import Scope, Store


@dataclass(frozen=True, slots=True)
class Access:
    """What this room needs: the API's store, the engine's (tenants and users span workspaces), and the secrets.

    `left_behind` counts what others keep under older keys of the ring, and only its next use brings under the newest.
    """

    store: Store
    engine: Store
    secrets: Secrets
    networks: Networks
    left_behind: Callable[[], int] = lambda: 0

    def begin(self) -> AbstractContextManager[Tx]:
        """Open a transaction of the caller's workspace."""
        return self.store.begin(current.scope(), current.cause())

    def begin_wide(self) -> AbstractContextManager[Tx]:
        """Open one under the engine's role: only where the tables of tenants and users are written."""
        return self.engine.begin(current.scope(), current.cause())


def blueprint(access: Access) -> Room:
    """Make the room."""
    room = Room("access", description="Secrets, tokens, members, workspaces and the audit trail.")
    _secrets(room, access)
    _tokens(room, access)
    _members(room, access)
    _tenants(room, access)
    _networks(room, access)
    _audit(room, access)
    return room


def _secrets(room: Room, access: Access) -> None:
    @room.route("/api/v1/secrets", methods=["GET"])
    @requires("secrets:list")
    @room.arguments(PageQuery, location="query")
    @room.response(200, page_of(schemas.SecretOut))
    def list_secrets(query: dict[str, Any]) -> Any:
        """List the secrets by name, never their values."""
        start = after(query, "secrets", str) or [""]
        with access.begin() as tx:
            rows = access.secrets.page(tx, after=start[0], limit=query["limit"] + 1)
        return page(rows, query["limit"], "secrets", lambda each: [each.name])

    @room.route("/api/v1/secrets", methods=["POST"])
    @requires("secrets:write")
    @room.arguments(schemas.SecretNew)
    @room.response(200, schemas.SecretOut)
    def set_secret(body: dict[str, Any]) -> Response:
        """Set a secret; an older value is replaced at once."""
        with access.begin() as tx:
            return remember(tx, answer(schemas.SecretOut, access.secrets.set(tx, body["name"], body["value"])))

    @room.route("/api/v1/secrets/<string:name>", methods=["GET"])
    @requires("secrets:list")
    @room.response(200, schemas.SecretOut)
    def show_secret(name: str) -> Any:
        """Show the versions and dates of one secret."""
        with access.begin() as tx:
            return access.secrets.get(tx, name)

    @room.route("/api/v1/secrets/<string:name>", methods=["PUT"])
    @requires("secrets:write")
    @room.arguments(schemas.SecretValue)
    @room.response(200, schemas.SecretOut)
    def put_secret(body: dict[str, Any], name: str) -> Response:
        """Set the value of the secret of that name; an older value is replaced at once."""
        with access.begin() as tx:
            return remember(tx, answer(schemas.SecretOut, access.secrets.set(tx, name, body["value"])))

    @room.route("/api/v1/secrets/<string:name>/rotate", methods=["POST"])
    @requires("secrets:write")
    @room.arguments(schemas.SecretRotation)
    @room.response(200, schemas.SecretOut)
    def rotate_secret(body: dict[str, Any], name: str) -> Response:
        """Set a new value and keep the one before valid for a while."""
        with access.begin() as tx:
            changed = access.secrets.rotate(tx, name, body["value"], body["overlap_seconds"])
            return remember(tx, answer(schemas.SecretOut, changed))

    @room.route("/api/v1/secrets/<string:name>", methods=["DELETE"])
    @requires("secrets:write")
    @room.response(204)
    def delete_secret(name: str) -> Response:
        """Delete a secret; what refers to it fails until it is set again."""
        with access.begin() as tx:
            access.secrets.delete(tx, name)
            return remember(tx, answer(None, None, 204))

    @room.route("/api/v1/secret-keys/rewrap", methods=["POST"])
    @requires("keys:rotate")
    @room.response(200, schemas.RewrapOut)
    def rewrap_secrets() -> Any:
        """Encrypt every secret of every workspace anew under the newest key of the ring; older keys can go once nothing is left."""
        key = access.secrets.ring.newest
        with access.begin() as tx:
            audit.record(tx, "keys.rewrap", f"key/{key}")
        count = rewrap(access.engine, access.secrets.ring)
        return {"key": key, "count": count, "left": access.left_behind()}


def _tokens(room: Room, access: Access) -> None:
    @room.route("/api/v1/tokens", methods=["GET"])
    @requires("tokens:manage")
    @room.arguments(PageQuery, location="query")
    @room.response(200, page_of(schemas.TokenOut))
    def list_tokens(query: dict[str, Any]) -> Any:
        """List the tokens of this workspace, newest first."""
        start = after(query, "tokens", UUID)
        with access.begin() as tx:
            rows = tokens.page(tx, before=start[0] if start else None, limit=query["limit"] + 1)
        return page(rows, query["limit"], "tokens", lambda row: [row.id], _token)

    @room.route("/api/v1/tokens", methods=["POST"])
    @requires("tokens:manage")
    @room.arguments(schemas.TokenNew)
    @room.response(201, schemas.TokenShown)
    @secret_answer
    def create_token(body: dict[str, Any]) -> Response:
        """Make a token; this answer is the only one that shows it."""
        user = None
        if "user" in body:
            with access.begin_wide() as tx:
                user = members.find(tx, body["user"]).id
        with access.begin() as tx:
            row, token = tokens.create(
                tx,
                current.principal(),
                name=body["name"],
                role=body["role"],
                scopes=body["scopes"],
                lifetime=body["expires_in_seconds"],
                user=user,
            )
            return remember(tx, answer(schemas.TokenShown, {**_token(row), "token": token}, 201))

    @room.route("/api/v1/tokens/<string:token_id>", methods=["GET"])
    @requires("tokens:manage")
    @room.response(200, schemas.TokenOut)
    def show_token(token_id: str) -> Any:
        """Show a token without its value."""
        with access.begin() as tx:
            return _token(tokens.find(tx, _read(token_id)))

    @room.route("/api/v1/tokens/<string:token_id>", methods=["DELETE"])
    @requires("tokens:manage")
    @room.response(204)
    def revoke_token(token_id: str) -> Response:
        """Revoke a token; every process refuses it within two seconds."""
        with access.begin() as tx:
            tokens.revoke(tx, _read(token_id))
            return remember(tx, answer(None, None, 204))


def _members(room: Room, access: Access) -> None:
    @room.route("/api/v1/members", methods=["GET"])
    @requires("members:manage")
    @room.arguments(PageQuery, location="query")
    @room.response(200, page_of(schemas.MemberOut))
    def list_members(query: dict[str, Any]) -> Any:
        """List the people of this workspace."""
        start = after(query, "members", str) or [""]
        with access.begin_wide() as tx:
            rows = members.page(tx, after=start[0], limit=query["limit"] + 1)
        return page(rows, query["limit"], "members", lambda row: [row.email])

    @room.route("/api/v1/members/<string:email>", methods=["PUT"])
    @requires("members:manage")
    @room.arguments(schemas.MemberPut)
    @room.response(204)
    def put_member(body: dict[str, Any], email: str) -> Response:
        """Give a person a role in this workspace."""
        with access.begin_wide() as tx:
            members.put(tx, email, body["role"], body["name"])
            return remember(tx, answer(None, None, 204))

    @room.route("/api/v1/members/<string:email>", methods=["DELETE"])
    @requires("members:manage")
    @room.response(204)
    def remove_member(email: str) -> Response:
        """Take a person out of this workspace; their tokens here stop working."""
        with access.begin_wide() as tx:
            members.remove(tx, email)
            return remember(tx, answer(None, None, 204))


def _tenants(room: Room, access: Access) -> None:
    @room.route("/api/v1/workspaces", methods=["GET"])
    @requires("workspaces:read")
    @room.arguments(PageQuery, location="query")
    @room.response(200, page_of(schemas.WorkspaceOut))
    def list_workspaces(query: dict[str, Any]) -> Any:
        """List the workspaces of the organization."""
        start = after(query, "workspaces", str) or [""]
        with access.begin_wide() as tx:
            rows = tenants.page(tx, after=start[0], limit=query["limit"] + 1)
        organization = current.scope().organization
        shown = page(rows, query["limit"], "workspaces", lambda row: [row.name], lambda row: row._asdict())
        return {**shown, "items": [{**each, "organization": organization} for each in shown["items"]]}

    @room.route("/api/v1/workspaces", methods=["POST"])
    @requires("workspaces:manage")
    @room.arguments(schemas.TenantNew)
    @room.response(201, schemas.WorkspaceShown)
    @secret_answer
    def create_workspace(body: dict[str, Any]) -> Response:
        """Make a workspace in this organization; the answer has the first token of it, an admin's."""
        with access.begin_wide() as tx:
            return _new_tenant(tx, tenants.create_workspace(tx, body["name"]))

    @room.route("/api/v1/organizations", methods=["POST"])
    @requires("organizations:manage")
    @room.arguments(schemas.TenantNew)
    @room.response(201, schemas.WorkspaceShown)
    @secret_answer
    def create_organization(body: dict[str, Any]) -> Response:
        """Make an organization with its workspace `default`; only whoever runs the instance may."""
        with access.begin_wide() as tx:
            return _new_tenant(tx, tenants.create_organization(tx, body["name"]))

    @room.route("/api/v1/me", methods=["GET"])
    @known
    @room.response(200, schemas.Me)
    def who_am_i() -> Any:
        """Show whom the presented token stands for, and what it may."""
        who = current.principal()
        return {
            "id": who.id,
            "kind": who.kind,
            "organization": who.organization,
            "workspace": who.workspace,
            "role": who.role,
            "permissions": sorted(who.permissions),
        }


def _networks(room: Room, access: Access) -> None:
    @room.route("/api/v1/networks", methods=["GET"])
    @requires("workspaces:read")
    @room.response(200, schemas.NetworksOut)
    def show_networks() -> Any:
        """Show which networks this workspace may reach although they are not public."""
        with access.begin() as tx:
            return access.networks.shown(tx)

    @room.route("/api/v1/networks", methods=["PUT"])
    @requires("networks:manage")
    @room.arguments(schemas.NetworksIn)
    @room.response(200, schemas.NetworksOut)
    def set_networks(body: dict[str, Any]) -> Response:
        """Say which of the instance's networks this workspace may reach; only whoever runs the instance may."""
        with access.begin_wide() as tx:
            access.networks.set(tx, body["networks"])
            return remember(tx, answer(schemas.NetworksOut, access.networks.shown(tx)))


def _audit(room: Room, access: Access) -> None:
    @room.route("/api/v1/audit", methods=["GET"])
    @requires("audit:read")
    @room.arguments(schemas.AuditQuery, location="query")
    @room.response(200, page_of(schemas.AuditOut))
    def list_audit(query: dict[str, Any]) -> Any:
        """List who changed what about access, newest first."""
        start = after(query, "audit", UUID)
        with access.begin() as tx:
            rows = audit.page(
                tx,
                before=start[0] if start else None,
                limit=query["limit"] + 1,
                action=query.get("action"),
                target=query.get("target"),
            )
        return page(rows, query["limit"], "audit", lambda row: [row.id], _entry)


def _new_tenant(tx: Tx, scope: Scope) -> Response:
    """Answer a new workspace with its first token; who may make workspaces may hold one that is empty."""
    maker = replace(current.principal(), scopes=frozenset())
    inside = Tx(tx.conn, scope, tx.cause)
    _, token = tokens.create(inside, maker, name="first", role="admin")
    shown = {"organization": scope.organization, "name": scope.workspace, "token": token}
    return remember(tx, answer(schemas.WorkspaceShown, shown, 201))


def _read(text: str) -> UUID:
    try:
        return ids.read(tokens.PREFIX, text)
    except ValueError as error:
        raise NotFound("no such token", source="access") from error


def _token(row: Any) -> dict[str, Any]:
    return {**row._asdict(), "id": ids.show(tokens.PREFIX, row.id), "prefix": f"cdk_{row.prefix}"}


def _entry(row: Any) -> dict[str, Any]:
    return {**row._asdict(), "id": ids.show("aud", row.id)}
