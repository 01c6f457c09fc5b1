"""The `auth` of a webhook without an integration: how it shows the receiver who we are. Its fields and rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.documents.fields import CONTRADICTION, MISSING_KEY, WRONG_VALUE, Field, MappingOf, Object
from server.documents.findings import shown
from server.documents.header_names import HeaderName
from server.documents.nodes import MappingNode
from server.documents.scalars import Choice, Duration, Text, Url
from server.documents.values import SECRET_ONLY, Config, secretable
from server.documents.variants import variants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.documents.checking import Checker

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512",
)  # fmt: skip
OURS = ("iat", "exp", "jti")
"""Claims that are written when a token is made."""
DEFAULT_LIFETIME = "5m"
_BEARER_GRANT = "jwt-bearer"
_REFRESH_GRANT = "refresh_token"


def _claims(node: MappingNode, checker: Checker) -> None:
    claims = node.get("claims")
    for key, _ in claims.entries if isinstance(claims, MappingNode) else ():
        if key.value in OURS:
            checker.error(WRONG_VALUE, key, f"the claim {shown(key.value)} is written when the token is made")


def _certificate(node: MappingNode, checker: Checker) -> None:
    for one, other in (("client_certificate", "client_key"), ("client_key", "client_certificate")):
        key = node.key(one)
        if key is not None and node.key(other) is None and not node.broken:
            checker.error(MISSING_KEY, key, f'"{one}" needs "{other}" beside it')


def _grant(node: MappingNode, checker: Checker) -> None:
    """Check what goes with what in `oauth2`."""
    bearer = node.text("grant") == _BEARER_GRANT
    secret, way = node.key("client_secret"), node.key("client_auth")
    if bearer and secret is not None:
        checker.error(CONTRADICTION, secret, f'"grant: {_BEARER_GRANT}" shows a "jwt", not a "client_secret"')
    if way is not None and secret is None:
        checker.error(CONTRADICTION, way, '"client_auth" says how a "client_secret" is shown, and there is none')
    refreshes, token = node.text("grant") == _REFRESH_GRANT, node.key("refresh_token")
    if refreshes and token is None and not node.broken:
        checker.error(MISSING_KEY, node, f'"refresh_token" is missing in "grant: {_REFRESH_GRANT}"')
    if token is not None and not refreshes:
        checker.error(CONTRADICTION, token, f'"refresh_token" goes with "grant: {_REFRESH_GRANT}" only')
    if not bearer and node.key("client_id") is None and not node.broken:
        checker.error(MISSING_KEY, node, '"client_id" is missing in auth by oauth2')


_JWT = (
    Field("alg", Choice(ALGORITHMS), "The algorithm that signs.", required=True),
    Field("key", SECRET_ONLY, "The private key (PEM), or the shared secret of HS….", required=True),
    Field("kid", secretable(Text(200)), "The id of the key, for the token's head."),
    Field(
        "claims",
        Config(),
        "What the token says beside `iat`, `exp` and `jti`; secrets as `{secret: NAME}`.",
        example="{iss: crossdock, aud: https://api.example.com}",
    ),
    Field("lifetime", Duration("10s", "1d"), "How long a token is good for.", default=DEFAULT_LIFETIME),
)
_CERTIFICATE = (
    Field("client_certificate", SECRET_ONLY, "mTLS: our certificate with its chain (PEM); it goes with every scheme."),
    Field("client_key", SECRET_ONLY, "mTLS: its private key (PEM), without a passphrase."),
)
_OAUTH2 = (
    Field("token_url", secretable(Url()), "Where tokens are asked for.", required=True),
    Field("client_id", secretable(Text(500)), "Who we are there."),
    Field("client_secret", SECRET_ONLY, "`oauth2`: the client's secret."),
    Field("client_auth", Choice(("basic", "body")), "`oauth2`: where the secret is shown.", default="basic"),
    Field(
        "jwt",
        Object(_JWT, rules=(_claims,), name="jwt"),
        "`oauth2`: an assertion that we sign, in place of a secret (RFC 7523); `iss`, `sub` and `aud` fill themselves in.",
    ),
    Field(
        "grant",
        Choice(("client_credentials", _BEARER_GRANT, _REFRESH_GRANT)),
        "`oauth2`: what is asked for; `jwt-bearer` exchanges the `jwt` itself, as Google and Salesforce want it.",
        default="client_credentials",
    ),
    Field(
        "refresh_token",
        SECRET_ONLY,
        "`oauth2`: the first refresh token; those that the server gives later take its place by themselves.",
    ),
    Field("scope", Text(2000), "`oauth2`: the scopes, separated by spaces."),
    Field("audience", Text(2000), "`oauth2`: for whom the token is, where the server asks for that."),
    Field(
        "params", MappingOf(secretable(Text(2000)), Text(100), most=20), "`oauth2`: more fields of the token request."
    ),
)
_COOKIE = Text(64, "[A-Za-z0-9_.-]+", "a cookie's name")
_SESSION = (
    Field("login_url", secretable(Url()), "`session`: where we log in, by POST.", required=True),
    Field("body", Config(), "`session`: what is sent; secrets as `{secret: NAME}`.", required=True),
    Field("body_as", Choice(("json", "form")), "`session`: how it is written.", default="json"),
    Field("token_path", Text(200, "[^.]+(\\.[^.]+)*", "a dotted path"), "`session`: where in the answer the token is."),
    Field("cookie_name", _COOKIE, "`session`: the cookie of the answer, in place of a token."),
    Field("header", HeaderName(identity=True), "`session`: the header that shows the token.", default="Authorization"),
    Field("prefix", Text(50), "`session`: what stands before the token there; `Bearer ` in Authorization."),
    Field("lifetime", Duration("10s", "1d"), "`session`: after how long we log in again.", default="10m"),
)
_PAIRED = {"rules": (_certificate,)}

AUTH = variants(
    "scheme",
    "How we show who we are.",
    {
        "bearer": (Field("token", SECRET_ONLY, "`bearer`: the token.", required=True), *_CERTIFICATE),
        "basic": (
            Field(
                "username",
                secretable(Text(200, "[^:]*", "a name without a colon")),
                "`basic`: the name.",
                required=True,
            ),
            Field("password", SECRET_ONLY, "`basic`: the password.", required=True),
            *_CERTIFICATE,
        ),
        "api_key": (
            Field("key", SECRET_ONLY, "`api_key`: the key. `jwt`: what signs.", required=True),
            Field("header", HeaderName(identity=True), "`api_key`: the header that holds it."),
            Field(
                "query", Text(64, "[A-Za-z0-9_.-]+", "a parameter's name"), "`api_key`: the parameter that holds it."
            ),
            Field(
                "cookie_name",
                _COOKIE,
                "`api_key`: the cookie that holds it. `session`: the cookie of the login's answer.",
            ),
            *_CERTIFICATE,
        ),
        "oauth2": (*_OAUTH2, *_CERTIFICATE),
        "jwt": (*_JWT, *_CERTIFICATE),
        "session": (*_SESSION, *_CERTIFICATE),
        "mtls": tuple(Field(each.name, each.type, each.about, required=True) for each in _CERTIFICATE),
    },
    "auth",
    bearer=_PAIRED,
    basic=_PAIRED,
    api_key={"one_of": (("header", "query", "cookie_name"),), "rules": (_certificate,)},
    session={"one_of": (("token_path", "cookie_name"),), "rules": (_certificate,)},
    oauth2={"one_of": (("client_secret", "jwt"),), "rules": (_grant, _certificate)},
    jwt={"rules": (_claims, _certificate)},
)


def written_by(auth: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that a checked `auth` adds, with placeholders for values: what `test` shows, without a secret."""
    match auth["scheme"]:
        case "basic":
            return {"Authorization": "Basic <credentials>"}
        case "api_key":
            return (
                {auth["header"]: "<key>"} if "header" in auth else {"Cookie": "<key>"} if "cookie_name" in auth else {}
            )
        case "session":
            return (
                {"Cookie": "<session>"} if "cookie_name" in auth else {auth.get("header", "Authorization"): "<token>"}
            )
        case "mtls":
            return {}
    return {"Authorization": "Bearer <token>"}


def header_of(auth: MappingNode) -> str | None:
    """Return the header that an `auth` under check is sent in, as far as that is written."""
    scheme = auth.text("scheme")
    if auth.key("cookie_name") is not None and scheme in ("api_key", "session"):
        return "Cookie"
    if scheme == "api_key":
        return auth.text("header")
    if scheme == "session":
        return auth.text("header") or "Authorization"
    return "Authorization" if scheme in ("bearer", "basic", "oauth2", "jwt") else None
