"""`twilio`: `X-Twilio-Signature` over the URL that Twilio called and the form that it sent, by name.

A body that is no form is signed by `bodySHA256` in the URL. Without that such a body proves nothing, and is refused. The URL is
what Twilio was told; behind a proxy that changes it, it has to be declared.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Any

from server.documents.fields import Field
from server.documents.scalars import Choice, Url
from server.sdk.signing_schemes import Hmac
from server.webhooks.inbound.arrived import Verified
from server.webhooks.verifiers.fields import KEY
from server.webhooks.verifiers.reading import (
    NoHandshake,
    Shared,
    decoded,
    from_base64,
    header,
    message_id,
    parameter,
    raw,
    refused,
)
from server.webhooks.verifiers.scheme import Scheme, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.webhooks.inbound.arrived import Arrived
    from server.webhooks.verifiers.scheme import Fetch

_FORM = "application/x-www-form-urlencoded"
_MOST = 1000
_PORTS = {"https": "443", "http": "80"}
_AUTHORITY = re.compile(r"(https?)://([^/:?#]+|\[[^\]]*\])(?::([0-9]{1,5}))?(?=[/?#]|$)", re.IGNORECASE)


class TwilioRequests(NoHandshake):
    """Verifies Twilio's requests; `url` is the URL that it was told, without its query, or empty for that of the request.

    Raises:
        Invalid: KEY_INVALID.

    """

    __slots__ = ("_hmacs", "_url")

    def __init__(self, keys: Sequence[str], algorithm: str = "sha1", url: str = "") -> None:
        Shared([each.encode() for each in keys])
        self._hmacs = tuple(Hmac(each.encode(), algorithm) for each in keys)
        self._url = url

    def verify(self, request: Arrived, now: float) -> Verified:  # noqa: ARG002 - the signature of every scheme
        """See `Verify`."""
        given = from_base64(header(request, "x-twilio-signature")) or b""
        signed = _signed_body(request)
        base = self._url or f"{request.scheme}://{request.host}{request.target}"
        if request.query:
            base = f"{base}?{request.query}"
        # Twilio itself is not of one mind whether the usual port belongs to a URL
        urls = {raw(base), raw(_other_port(base))}
        fits = [hmac.compare_digest(each.digest(url, signed), given) for each in self._hmacs for url in urls]
        if not any(fits):
            raise refused("signature")
        return Verified(message_id(request, "i-twilio-idempotency-token"))


def _other_port(url: str) -> str:
    """Return the URL with the usual port of its scheme, or without it."""
    found = _AUTHORITY.match(url)
    if found is None:
        return url
    usual = _PORTS[found[1].lower()]
    rest = url[found.end() :]
    if found[3] is None:
        return f"{found[1]}://{found[2]}:{usual}{rest}"
    return f"{found[1]}://{found[2]}{rest}" if found[3] == usual else url


def _signed_body(request: Arrived) -> bytes:
    """Return what is signed of the body behind the URL."""
    if not request.body:
        return b""
    if header(request, "content-type").partition(";")[0].strip().lower() != _FORM:
        wanted = parameter(request.query, "bodySHA256").lower()
        if not hmac.compare_digest(hashlib.sha256(request.body).hexdigest().encode(), wanted):
            raise refused("body")
        return b""
    pairs = [each.partition(b"=") for each in request.body.split(b"&", _MOST + 1) if each]
    if len(pairs) > _MOST:
        raise refused("too many fields")
    return b"".join(name + value for name, value in sorted({(decoded(key), decoded(value)) for key, _, value in pairs}))


def _make(declared: Mapping[str, Any], keys: Sequence[str], _fetch: Fetch) -> TwilioRequests:
    return TwilioRequests(keys, declared.get("algorithm", "sha1"), declared.get("url", ""))


_FIELDS = b"Digits=1234&To=%2B18005551212&From=%2B14158675309&Caller=%2B14158675309&CallSid=CA1234567890ABCDE"

SCHEME = Scheme(
    name="twilio",
    about="`X-Twilio-Signature`",
    fields=(
        KEY,
        Field(
            "url",
            Url(vetted=False),
            "`twilio`: the URL that Twilio was told, without its query, where a proxy in front changes it; the request's own by"
            " default.",
        ),
        Field(
            "algorithm",
            Choice(("sha1", "sha256")),
            "`twilio`: the hash: `sha1` (default) by the account's token, `sha256` by a shared key.",
            default="sha1",
        ),
    ),
    make=_make,
    vectors=(
        Vector(
            about="the documented example",
            source="Twilio, Webhooks security: validating signatures; the test of its libraries",
            keys=["12345"],
            request={
                "method": "POST",
                "path": "myapp.php",
                "scheme": "https",
                "host": "mycompany.com",
                "target": "/myapp.php",
                "query": "foo=1&bar=2",
                "headers": {
                    "content-type": "application/x-www-form-urlencoded; charset=UTF-8",
                    "x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
                },
                "body": _FIELDS,
            },
            now=0,
            proof=("x-twilio-signature",),
        ),
        Vector(
            about="the documented example, at a declared URL",
            source="Twilio, Webhooks security: validating signatures; the test of its libraries",
            declared={"url": "https://mycompany.com:443/myapp.php"},
            keys=["12345"],
            request={
                "method": "POST",
                "path": "twilio",
                "host": "internal:8080",
                "target": "/in/default/default/twilio",
                "query": "foo=1&bar=2",
                "headers": {
                    "content-type": "application/x-www-form-urlencoded",
                    "x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
                },
                "body": _FIELDS,
            },
            now=0,
            proof=("x-twilio-signature",),
        ),
    ),
)
