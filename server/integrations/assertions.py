"""JSON Web Tokens that we sign ourselves: as a bearer token, or as the assertion of a token request (RFC 7523)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import jwt
import orjson
from jwt.exceptions import PyJWTError

from server.documents.kinds import json_default
from server.integrations.auth_fields import DEFAULT_LIFETIME
from server.kernel.errors import Invalid, code
from server.kernel.policies import parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.kernel.clock import Clock

AUTH_KEY_INVALID = code(
    "AUTH_KEY_INVALID",
    "A key or certificate of `auth` cannot be read, or is none for its algorithm; set the secret anew.",
)


class Assertions:
    """Makes tokens of one declaration: `alg`, `key`, `kid`, `claims`, `lifetime`.

    Raises:
        Invalid: AUTH_KEY_INVALID: the key is none for the algorithm, or shorter than RFC 7518 asks. It is never shown.

    """

    def __init__(self, declared: Mapping[str, Any], clock: Clock) -> None:
        self._alg = declared["alg"]
        self._claims = dict(declared.get("claims", {}))
        self._clock = clock
        self._jws = jwt.PyJWS(options={"enforce_minimum_key_length": True})
        self._head = {"typ": "JWT", **({"kid": declared["kid"]} if "kid" in declared else {})}
        self.lifetime = parse_duration(declared.get("lifetime", DEFAULT_LIFETIME))
        try:
            self._key = jwt.get_algorithm_by_name(self._alg).prepare_key(declared["key"])
            self.make({})
        except (PyJWTError, ValueError, TypeError) as error:
            raise Invalid(
                f"the secret under key is no key for {self._alg}", code=AUTH_KEY_INVALID, source="auth"
            ) from error

    def make(self, filled: Mapping[str, Any]) -> str:
        """Return a token of its own `jti`, good from now for `lifetime`; the declaration's claims go over `filled`.

        There is no `nbf`: a receiver whose clock is a second behind would refuse the token. Who needs one declares it.
        """
        now = int(self._clock.now().timestamp())
        ours = {"iat": now, "exp": now + int(self.lifetime), "jti": str(uuid.uuid4())}
        claims = {**filled, **self._claims, **ours}
        payload = orjson.dumps(claims, default=json_default)
        return self._jws.encode(payload, self._key, algorithm=self._alg, headers=self._head)

    def for_client(self, client_id: str, token_url: str) -> str:
        """Return the assertion by which a client shows who it is (RFC 7523, 2.2)."""
        return self.make({"iss": client_id, "sub": client_id, "aud": token_url})

    def for_grant(self, client_id: str | None, token_url: str) -> str:
        """Return the assertion that is itself exchanged for a token (RFC 7523, 2.1); `sub` is the declaration's."""
        return self.make({"aud": token_url, **({"iss": client_id} if client_id else {})})
