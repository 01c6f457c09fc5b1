"""Sends what is asked, and reads the answer: exact numbers, the records, and never who we are to another server."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import orjson

from plugins.http.asking import Ask, Page, Path, origin_of, written
from server.sdk import Permanent, Retryable, code, expect_success

if TYPE_CHECKING:
    import requests

    from server.sdk import Context, Endpoint

RECORDS_MISSING = code(
    "RECORDS_MISSING",
    "`records` leads to no list in the answer; say `no_records: empty` if that means that there are none.",
)
ANSWER_BROKEN = "ANSWER_BROKEN"

# A number of so many digits loses some as a float. To look for it so takes a third of what a regular expression takes.
_DIGITS = bytes(0x30 if each in b"0123456789." else 0x20 for each in range(256))
_LONG_NUMBER = b"0" * 16


@dataclass(frozen=True, slots=True)
class Wire:
    """The way to one API: its endpoint, and who else it may send us to."""

    context: Context
    endpoint: Endpoint
    allowed: frozenset[str] = frozenset()
    origin: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "origin", origin_of(self.endpoint.base_url))

    @property
    def origins(self) -> frozenset[str]:
        """Where an answer may send us."""
        return self.allowed | {self.origin}

    def send(self, ask: Ask, *, key: str | None = None, key_header: str = "Idempotency-Key") -> requests.Response:
        """Send a request; the integration's headers and parameters go to its own origin only.

        Raises:
            Retryable, Permanent: as the table in `server.sdk.answers` says.

        """
        url = self._url(ask.url)
        headers = {"Accept": "application/json", "X-Correlation-ID": self.context.correlation_id, **ask.headers}
        query = {name: _written(value) for name, value in ask.query.items() if value is not None}
        if origin_of(url) == self.origin:
            headers.update(self.endpoint.headers)
            query.update(self.endpoint.query)
        if key:
            headers[key_header] = key
        body = None
        if ask.json is not None:
            headers.setdefault("Content-Type", "application/json")
            body = written_json(ask.json)
        response = self.context.http.request(
            ask.method, url, params=query, headers=headers, data=body, timeout=self.context.config.get("timeout")
        )
        return expect_success(response, self.context.clock.now())

    def body(self, ask: Ask) -> Any:
        """Send a request and return the answer's JSON, None when it is empty; see `send`."""
        response = self.send(ask)
        return read_exact(response.content) if response.content else None

    def page(self, ask: Ask, records: Path | None, *, empty: bool = False) -> Page:
        """Send a request and return its page; `empty`: no list where the records should be means that there are none.

        Raises:
            Retryable: ANSWER_BROKEN.
            Permanent: RECORDS_MISSING.

        """
        response = self.send(ask)
        body = read_exact(response.content) if response.content else None
        found = body if records is None else records.of(body)
        if found is None and (empty or not response.content):
            found = []
        if not isinstance(found, list):
            raise Permanent("the answer has no list of records", code=RECORDS_MISSING, source="http")
        headers = {name.lower(): value for name, value in response.headers.items()}
        digest = hashlib.blake2b(response.content, digest_size=12).digest()
        return Page(ask, body, found, headers, self._url(ask.url), digest)

    def unsigned(self, url: str) -> str:
        """Return an address of the API without the parameters that show who we are, so that it can be stored."""
        if not self.endpoint.query or origin_of(url) != self.origin:
            return url
        parts = urlsplit(url)
        kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in self.endpoint.query]
        return urlunsplit(parts._replace(query=urlencode(kept)))

    def _url(self, url: str) -> str:
        if not url.startswith("/"):
            return url
        if any(unquote(part) in {".", ".."} for part in url.partition("?")[0].split("/")):
            raise Permanent("a path may not leave the base URL", code="REQUEST_REFUSED", source="http")
        return self.endpoint.base_url + url


def read_exact(content: bytes) -> Any:
    """Return JSON; where a number has more digits than a float holds, those with a fraction are Decimal.

    Raises:
        Retryable: ANSWER_BROKEN.

    """
    try:
        if _LONG_NUMBER not in content.translate(_DIGITS):
            return orjson.loads(content)
        return json.loads(content, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Retryable("the answer is no JSON", code=ANSWER_BROKEN, source="http") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def written_json(value: Any) -> bytes:
    """Write what a record may hold: a Decimal as text, so that no digit is lost."""
    try:
        return orjson.dumps(value, default=_plain)
    except TypeError as error:
        raise Permanent("the record cannot be written as JSON", code="INPUT_INVALID", source="http") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"no JSON: {type(value).__name__}")


def _written(value: Any) -> Any:
    return [written(each) for each in value] if isinstance(value, list) else written(value)
