"""A server that issues OAuth 2.0 tokens: counts what it was asked, and knows until when each token is good."""

from __future__ import annotations

import base64
import itertools
import json
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from tests.support.receiver import Answer, Receiver

if TYPE_CHECKING:
    from tests.support.receiver import Hit


class TokenServer(Receiver):
    """Issues `token-1`, `token-2`, …, each good for `lifetime` seconds; `says` replaces the answer."""

    def __init__(self, lifetime: float = 3600) -> None:
        super().__init__()
        self.lifetime = lifetime
        self.delay = 0.0
        self.says: Answer | None = None
        self.issued: dict[str, float] = {}
        self.revoked: set[str] = set()
        self._numbers = itertools.count(1)
        self._issuing = threading.Lock()
        self.answer = self._token

    def _token(self, _hit: Hit) -> Answer:
        time.sleep(self.delay)
        if self.says is not None:
            return self.says
        with self._issuing:
            token = f"token-{next(self._numbers)}-s3cr3t"
            self.issued[token] = time.time() + self.lifetime
        said = {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime}
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(said).encode())

    @property
    def asked(self) -> int:
        """How many token requests came."""
        return len(self.hits)

    def good(self, authorization: str) -> bool:
        """Say whether a request shows a token that is good now."""
        token = authorization.removeprefix("Bearer ")
        return self.issued.get(token, 0) > time.time() and token not in self.revoked

    def auth(self, **more: Any) -> dict[str, Any]:
        """Return a declaration that asks here, its secret filled in."""
        own = {"token_url": f"{self.url}/token", "client_id": "us", "client_secret": "client-s3cr3t"}
        return {"scheme": "oauth2"} | own | more


def form_of(hit: Hit) -> dict[str, str]:
    """Return the fields of a token request."""
    return {name: values[0] for name, values in parse_qs(hit.body.decode(), strict_parsing=True).items()}


def basic_of(hit: Hit) -> str:
    """Return the pair of a basic authorization."""
    return base64.b64decode(hit.headers["authorization"].removeprefix("Basic ")).decode()
