"""What access takes and answers. No answer has a secret's value; a token's is in one answer, when it is made."""

from __future__ import annotations

from marshmallow import fields, validate

from server.access.networks import MOST as MOST_NETWORKS
from server.access.secrets import DAY, LONGEST_OVERLAP, MOST_BYTES, NAME, NAME_RULE
from server.access.tenants import NAME as TENANT
from server.access.tenants import NAME_RULE as TENANT_RULE
from server.access.tokens import LONGEST_LIFE
from server.web.paging import PageQuery
from server.web.permissions import PERMISSIONS, TOKEN_ROLES
from server.web.room import In, Moment, Out, Pattern, Real, Text

_ROLE = validate.OneOf(TOKEN_ROLES)


def _name() -> fields.String:
    return fields.String(required=True, validate=Pattern(NAME.pattern, error=NAME_RULE))


class SecretValue(In):
    """A new value; its length is checked in bytes."""

    value = fields.String(required=True, validate=validate.Length(1, MOST_BYTES), load_only=True)


class SecretNew(SecretValue):
    """A secret with its name."""

    name = _name()


class SecretRotation(SecretValue):
    """A new value and how long the one before stays valid."""

    overlap_seconds = Real(load_default=DAY, validate=validate.Range(0, LONGEST_OVERLAP))


class SecretVersionOut(Out):
    """One version."""

    version = fields.Integer(required=True)
    created_at = Moment(required=True)
    created_by = fields.String(required=True)
    valid_until = Moment(required=True, allow_none=True)


class SecretOut(Out):
    """A secret without its value; `versions` newest first."""

    name = fields.String(required=True)
    version = fields.Integer(required=True)
    versions = fields.List(fields.Nested(SecretVersionOut), required=True)


class RewrapOut(Out):
    """What a change of the key ring has encrypted anew."""

    key = fields.String(required=True, metadata={"description": "Id of the newest key: all secrets are under it now."})
    count = fields.Integer(required=True, metadata={"description": "Secrets that were encrypted anew."})
    left = fields.Integer(
        required=True,
        metadata={"description": "Refresh tokens still under an older key: each follows when it is used next."},
    )


class TokenNew(In):
    """A token to make."""

    name = Text(required=True, least=1, most=100)
    role = fields.String(required=True, validate=_ROLE)
    scopes = fields.List(
        fields.String(validate=validate.OneOf(sorted(PERMISSIONS))),
        load_default=list,
        validate=validate.Length(max=len(PERMISSIONS)),
        metadata={"description": "Permissions that the token is narrowed to; empty: all of its role."},
    )
    expires_in_seconds = Real(
        load_default=None,
        allow_none=True,
        validate=validate.Range(1, LONGEST_LIFE),
        metadata={"description": "None: no end."},
    )
    user = Text(most=255, metadata={"description": "E-mail address of the member whom the token stands for."})


class TokenOut(Out):
    """A token as a listing shows it."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    prefix = fields.String(required=True, metadata={"description": "The first characters, to know it by."})
    role = fields.String(required=True, validate=_ROLE)
    scopes = fields.List(fields.String(), required=True)
    created_at = Moment(required=True)
    created_by = fields.String(required=True)
    expires_at = Moment(required=True, allow_none=True)
    last_used_at = Moment(required=True, allow_none=True, metadata={"description": "To the minute."})
    revoked_at = Moment(required=True, allow_none=True)


class TokenShown(TokenOut):
    """The one answer that has the token itself."""

    token = fields.String(required=True, metadata={"description": "Keep it: it is never shown again."})


class MemberPut(In):
    """A role for a person."""

    role = fields.String(required=True, validate=_ROLE)
    name = Text(load_default="", most=200)


class MemberOut(Out):
    """A person in this workspace."""

    email = fields.String(required=True)
    name = fields.String(required=True)
    role = fields.String(required=True, validate=_ROLE)
    created_at = Moment(required=True)
    disabled_at = Moment(required=True, allow_none=True)


class TenantNew(In):
    """A name for an organization or workspace."""

    name = fields.String(required=True, validate=Pattern(TENANT.pattern, error=TENANT_RULE))


class WorkspaceOut(Out):
    """A workspace of the organization."""

    organization = fields.String(required=True)
    name = fields.String(required=True)
    created_at = Moment(required=True)


class WorkspaceShown(Out):
    """A new workspace, with the first token that works in it."""

    organization = fields.String(required=True)
    name = fields.String(required=True)
    token = fields.String(required=True, metadata={"description": "An admin's; it is never shown again."})


class NetworksIn(In):
    """A workspace's own list of networks, or none."""

    networks = fields.List(
        Text(least=1, most=50),
        required=True,
        allow_none=True,
        validate=validate.Length(max=MOST_NETWORKS),
        metadata={"description": "CIDRs within the instance's; null: the instance's whole list, empty: public only."},
    )


class NetworksOut(Out):
    """Which networks a workspace may reach although they are not public."""

    workspace = fields.String(required=True, metadata={"description": "`organization/name`."})
    networks = fields.List(fields.String(), required=True)
    own = fields.Boolean(required=True, metadata={"description": "Whether it has a list of its own."})


class AuditQuery(PageQuery):
    """Filters of the audit trail."""

    action = Text(most=100)
    target = Text(most=300)


class AuditOut(Out):
    """Who did what to what."""

    id = fields.String(required=True)
    at = Moment(required=True)
    principal = fields.String(required=True)
    action = fields.String(required=True)
    target = fields.String(required=True)
    details = fields.Dict(required=True)


class Me(Out):
    """Whom the presented token stands for."""

    id = fields.String(required=True)
    kind = fields.String(required=True)
    organization = fields.String(required=True)
    workspace = fields.String(required=True)
    role = fields.String(required=True)
    permissions = fields.List(fields.String(), required=True)
