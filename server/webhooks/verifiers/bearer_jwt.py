"""`jwt`: a signed token in a header, by a key that we hold or by the key set of the sender's (JWKS).

The definition alone says which algorithms count; `kid` only chooses among the keys of the set, and no other header of the
token is looked at. A token proves who sends, not what: two requests with the same token may both be meant.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jwt
from jwt.exceptions import PyJWTError

from server.documents.fields import CONTRADICTION, MISSING_KEY, WRONG_VALUE, Field, ListOf, MappingOf, OneOf
from server.documents.nodes import ListNode, ScalarNode
from server.documents.scalars import Choice, Duration, Fact, Text, Url
from server.documents.values import SECRET_ONLY
from server.integrations.auth_fields import ALGORITHMS
from server.webhooks.inbound.arrived import Verified
from server.webhooks.verifiers.claims import DEFAULT_LEEWAY, Claims
from server.webhooks.verifiers.fetching import key_material
from server.webhooks.verifiers.fields import SenderHeader
from server.webhooks.verifiers.key_sets import KeySet, read_token
from server.webhooks.verifiers.reading import NoHandshake, bad_key, header, refused
from server.webhooks.verifiers.scheme import Scheme, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.documents.checking import Checker
    from server.documents.nodes import MappingNode
    from server.webhooks.inbound.arrived import Arrived
    from server.webhooks.verifiers.scheme import Fetch

_MOST_TRIED = 5
_SHOWN = ("iss", "sub", "aud", "jti")
_PLAIN = re.compile(r"[\x20-\x7e]{1,200}")


class TokenRequests(NoHandshake):
    """Verifies requests that show a token.

    Raises:
        Invalid: KEY_INVALID: a key is none for the algorithms, or shorter than RFC 7518 asks.

    """

    __slots__ = ("_algorithms", "_claims", "_fetch", "_header", "_keys", "_set", "_url")

    def __init__(self, declared: Mapping[str, Any], keys: Sequence[str], fetch: Fetch) -> None:
        self._algorithms = tuple(declared["algorithms"])
        self._header = declared.get("header", "authorization").lower()
        self._claims = Claims(declared)
        self._url = declared.get("jwks_url", "")
        self._fetch = fetch
        self._set = KeySet()
        self._keys = tuple(_prepared(each, self._algorithms) for each in keys)
        if not self._keys and not self._url:
            raise bad_key("the scheme needs a key or the address of a key set")

    def verify(self, request: Arrived, now: float) -> Verified:
        """See `Verify`."""
        token, head = read_token(_bearer(header(request, self._header), self._header))
        algorithm = str(head["alg"])
        if algorithm not in self._algorithms:
            raise refused("algorithm")
        keys = self._of_set(head.get("kid"), algorithm) if self._url else self._held(algorithm)
        claims = next((each for key in keys if (each := _said(token, key, algorithm)) is not None), None)
        if claims is None:
            raise refused("signature")
        self._claims.vet(claims, now)
        return Verified(claims={name: text for name in _SHOWN if (text := _plain(claims.get(name)))})

    def _held(self, algorithm: str) -> list[Any]:
        return [by[algorithm] for by in self._keys if algorithm in by]

    def _of_set(self, kid: object, algorithm: str) -> list[Any]:
        """Return the keys that may fit; an unknown `kid` asks for the set anew, as often as `Fetch` allows."""
        body = key_material(self._fetch, self._url)
        found = self._set.find(body, kid, algorithm)
        if not found and isinstance(kid, str):
            fresh = key_material(self._fetch, self._url, anew=True)
            found = self._set.find(fresh, kid, algorithm) if fresh != body else found
        return found[:_MOST_TRIED]


def _bearer(value: str, name: str) -> str:
    kind, space, rest = value.partition(" ")
    if space and kind.lower() == "bearer":
        return rest.strip(" ")
    if name == "authorization":
        raise refused("no bearer token")
    return value


def _said(token: str, key: Any, algorithm: str) -> dict[str, Any] | None:
    """Return the claims when this key signed the token."""
    try:
        said = jwt.decode(token, key, algorithms=[algorithm], options=_CLAIMS_ARE_OURS)
    except (PyJWTError, ValueError, TypeError, RecursionError):
        return None
    return dict(said)


_CLAIMS_ARE_OURS: Any = {
    "verify_signature": True,
    **dict.fromkeys(
        ("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub", "verify_jti"), False
    ),
}


def _plain(value: object) -> str:
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else ""


def _prepared(key: str, algorithms: Sequence[str]) -> dict[str, Any]:
    """Return the key for each algorithm that it serves."""
    found = {}
    for name in algorithms:
        algorithm = jwt.get_algorithm_by_name(name)
        try:
            prepared = algorithm.prepare_key(key)
            short = algorithm.check_key_length(prepared)
        except (PyJWTError, ValueError, TypeError):
            continue
        if short:
            raise bad_key(f"the key is too short for {name} (RFC 7518)")
        found[name] = key if name.startswith("HS") else prepared
    if not found:
        raise bad_key(
            f"the secret under key is no key for {', '.join(algorithms)}: a public key in PEM, or the secret of HS…"
        )
    return found


def _rules(node: MappingNode, checker: Checker) -> None:
    """Check what goes with what: kinds of algorithms, and what makes the tokens of a public key set ours."""
    algorithms, url = node.get("algorithms"), node.get("jwks_url")
    items = algorithms.items if isinstance(algorithms, ListNode) else ()
    shared = [str(getattr(each, "value", "")).startswith("HS") for each in items]
    if any(shared) and not all(shared):
        checker.error(
            CONTRADICTION, algorithms or node, "HS… goes by a shared secret, the others by a public key: not both"
        )
    if url is None:
        return
    if any(shared):
        checker.error(CONTRADICTION, algorithms or node, "a key set holds public keys, and HS… goes by a shared secret")
    for name in ("issuer", "audience"):
        if node.get(name) is None and not node.broken:
            message = f'"{name}" is missing beside "jwks_url": its keys sign tokens for others, too'
            checker.error(MISSING_KEY, node, message)
    if isinstance(url, ScalarNode) and isinstance(url.value, str) and _exposed(url.value):
        checker.error(WRONG_VALUE, url, "a key set comes over https: otherwise anybody on the way may put in a key")


def _exposed(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme.lower() == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1")


def _make(declared: Mapping[str, Any], keys: Sequence[str], fetch: Fetch) -> TokenRequests:
    return TokenRequests(declared, keys, fetch)


_ONE_OR_MORE = OneOf((Text(500), ListOf(Text(500), 1, 10)))
_FIELDS = (
    Field(
        "key",
        OneOf((SECRET_ONLY, ListOf(SECRET_ONLY, 1, 5))),
        "`jwt`: the secret of HS… or the sender's public key in PEM, or several while it is changed.",
    ),
    Field("jwks_url", Url(), "`jwt`: where the sender's key set stands; it is kept for ten minutes."),
    Field(
        "algorithms",
        ListOf(Choice(ALGORITHMS), 1, 5),
        "`jwt`: the algorithms that count, whatever a token says.",
        required=True,
    ),
    Field("issuer", _ONE_OR_MORE, "`jwt`: who the token has to be from (`iss`); needed with `jwks_url`."),
    Field("audience", _ONE_OR_MORE, "`jwt`: for whom it has to be (`aud`); needed with `jwks_url`."),
    Field(
        "claims",
        MappingOf(Fact(), Text(100), most=20),
        "`jwt`: what else the token has to say, exactly.",
        example="{email: pusher@project.iam.gserviceaccount.com, email_verified: true}",
    ),
    Field("leeway", Duration("0s", "10m"), "`jwt`: how far the sender's clock may be off.", default=DEFAULT_LEEWAY),
    Field("max_age", Duration("1s", "365d"), "`jwt`: how long ago the token may have been made, whatever its `exp`."),
    Field(
        "header",
        SenderHeader(),
        "`jwt`: the header that holds the token, bare or behind `Bearer`.",
        default="Authorization",
    ),
)

_NOW = 1700000000
_SHARED = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    ".eyJpc3MiOiJodHRwczovL3NlbmRlci5leGFtcGxlIiwiaWF0IjoxNzAwMDAwMDAwLCJleHAiOjE3MDAwMDAzMDB9"
    ".IOCt8lsPoE_dfahAEsLpXb2I30gCriB_5-vssHoDNZ0"
)
_BY_SET = (
    "eyJhbGciOiJFZERTQSIsImtpZCI6InJmYzgwMzciLCJ0eXAiOiJKV1QifQ"
    ".eyJpc3MiOiJodHRwczovL3NlbmRlci5leGFtcGxlIiwiYXVkIjoiY3Jvc3Nkb2NrIiwic3ViIjoiaG9vayIsImlhdCI6MTcwMDAwMDAwMCwiZXhwIjox"
    "NzAwMDAwMzAwfQ.UfsfLOpWpLLC0Rec-HraXnPvqmjod-xAvEAOPe1xjTSIRnLXXovo5U2GrkZRR8ovzth-2DxCA4UM8E4TKUJtCQ"
)
_RFC_7515 = (
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)
_SET_URL = "https://sender.example/jwks"


def _request(token: str) -> dict[str, Any]:
    return {"method": "POST", "path": "in", "headers": {"authorization": f"Bearer {token}"}, "body": b"{}"}


SCHEME = Scheme(
    name="jwt",
    about="a bearer token by a key of yours or the sender's key set",
    fields=_FIELDS,
    make=_make,
    covers_body=False,
    blocks=True,
    one_of=(("key", "jwks_url"),),
    rules=(_rules,),
    vectors=(
        Vector(
            about="by a secret",
            source="signed by PyJWT 2.15",
            declared={"algorithms": ["HS256"], "issuer": "https://sender.example"},
            keys=["a-secret-of-32-bytes-for-hs256!!"],
            request=_request(_SHARED),
            now=_NOW,
        ),
        Vector(
            about="by a key set",
            source="signed by PyJWT 2.15 with the key of RFC 8037, appendix A",
            declared={
                "algorithms": ["EdDSA"],
                "jwks_url": _SET_URL,
                "issuer": "https://sender.example",
                "audience": "crossdock",
            },
            keys=[],
            request=_request(_BY_SET),
            now=_NOW,
            fetched={
                _SET_URL: b'{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"rfc8037",'
                b'"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
            },
        ),
        Vector(
            about="the example of the standard, which does not say when it was made",
            source="RFC 7515, appendix A.1",
            declared={"algorithms": ["HS256"]},
            keys=["a-secret-of-32-bytes-for-hs256!!"],
            request=_request(_RFC_7515),
            now=1300819370,
            accepted=False,
        ),
    ),
)
