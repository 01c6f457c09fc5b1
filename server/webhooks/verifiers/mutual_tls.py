"""`mtls`: the client certificate that a trusted proxy saw and forwards in a header.

The proxy ends TLS and so knows that the client holds the key; from anybody else the header is only a public text, and is
refused. The proxy has to remove the header from what clients send.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from server.documents.fields import CONTRADICTION, MISSING_KEY, Field, ListOf
from server.documents.scalars import Text
from server.webhooks.inbound.arrived import Verified
from server.webhooks.verifiers.certificates import (
    CertificateText,
    authorities,
    fingerprint,
    forwarded,
    good_at,
    issued_by,
    names_of,
)
from server.webhooks.verifiers.fields import Fingerprint, SenderHeader
from server.webhooks.verifiers.reading import NoHandshake, bad_key, header, refused
from server.webhooks.verifiers.scheme import Scheme, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.documents.checking import Checker
    from server.documents.nodes import MappingNode
    from server.webhooks.inbound.arrived import Arrived
    from server.webhooks.verifiers.scheme import Fetch

_DEFAULT_HEADER = "Client-Cert"


class CertifiedRequests(NoHandshake):
    """Verifies requests by a forwarded client certificate: its fingerprint, or who issued it and, if declared, its names.

    Raises:
        Invalid: KEY_INVALID: there is no authority in `ca`.

    """

    __slots__ = ("_authorities", "_fingerprints", "_header", "_subjects")

    def __init__(self, declared: Mapping[str, Any]) -> None:
        self._header = declared.get("header", _DEFAULT_HEADER).lower()
        self._fingerprints = tuple(bytes.fromhex(each.replace(":", "")) for each in declared.get("fingerprints", ()))
        self._subjects = frozenset(declared.get("subjects", ()))
        self._authorities = authorities(declared["ca"]) if "ca" in declared else ()
        if not self._fingerprints and not self._authorities:
            raise bad_key("mtls needs fingerprints, or the certificate of an authority under ca")

    def verify(self, request: Arrived, now: float) -> Verified:
        """See `Verify`."""
        if not request.peer_trusted:
            raise refused("the connection is no trusted proxy's")
        certificate = forwarded(header(request, self._header))
        if not good_at(certificate, now):
            raise refused("dates of the certificate")
        if self._fingerprints:
            seen = fingerprint(certificate)
            known = [hmac.compare_digest(seen, each) for each in self._fingerprints]
            if not any(known):
                raise refused("fingerprint")
        if self._authorities:
            good = [each for each in self._authorities if good_at(each, now)]
            if not any(issued_by(certificate, each) for each in good):
                raise refused("issuer of the certificate")
        if self._subjects and not self._subjects & names_of(certificate):
            raise refused("subject")
        return Verified()


def _make(declared: Mapping[str, Any], _keys: Sequence[str], _fetch: Fetch) -> CertifiedRequests:
    return CertifiedRequests(declared)


def _rules(node: MappingNode, checker: Checker) -> None:
    """Ask for what makes a name count: who issued it."""
    if node.broken:
        return
    subjects = node.key("subjects")
    if subjects is not None and node.get("ca") is None:
        message = '"subjects" needs "ca": anybody can write a name into a certificate of his own'
        checker.error(MISSING_KEY, subjects, message)
    elif node.get("ca") is None and node.get("fingerprints") is None:
        checker.error(CONTRADICTION, node, 'one of "fingerprints" or "ca" is missing in verify by mtls')


_LEAF = (
    "MIIBszCCAVigAwIBAgIUX7L5unNKSwqlGbJbbIjrxwSULNQwCgYIKoZIzj0EAwIwPTEhMB8GA1UEAwwYQ3Jvc3Nkb2"
    "NrIHRlc3QgYXV0aG9yaXR5MRgwFgYDVQQKDA9Dcm9zc2RvY2sgdGVzdHMwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAx"
    "MDEwMDAwMDBaMCkxDTALBgNVBAMMBHNob3AxGDAWBgNVBAoMD0Nyb3NzZG9jayB0ZXN0czBZMBMGByqGSM49AgEGCC"
    "qGSM49AwEHA0IABHp+OSXhApy2cEkI3jhb0hHit7VApaCYlIaV4/l0SPMPFiULhJQBmv6eDdKGh8929WawAqtKkRFl"
    "OjEXu0t6YyWjSDBGMAwGA1UdEwEB/wQCMAAwNgYDVR0RBC8wLYIQc2hvcC5leGFtcGxlLmNvbYYZc3BpZmZlOi8vZX"
    "hhbXBsZS5jb20vc2hvcDAKBggqhkjOPQQDAgNJADBGAiEAzrF5Dj+WkYY3m7586fEvMlHkCNl83PCbili5ugAY/q4C"
    "IQC9uxYPFw9yXRKbMkG9l2tHYLiQjBEIgj06WdyK/8iybw=="
)
_FINGERPRINT = "66806db9edbf7257c7adfdf24a078b3c502a275245f9e2f42ebd1c65e6d57ca2"
_AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBkDCCATegAwIBAgIUcG9TQz5oOIGaxu1pUjoKXyNp0xAwCgYIKoZIzj0EAwIw
PTEhMB8GA1UEAwwYQ3Jvc3Nkb2NrIHRlc3QgYXV0aG9yaXR5MRgwFgYDVQQKDA9D
cm9zc2RvY2sgdGVzdHMwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBa
MD0xITAfBgNVBAMMGENyb3NzZG9jayB0ZXN0IGF1dGhvcml0eTEYMBYGA1UECgwP
Q3Jvc3Nkb2NrIHRlc3RzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE4lccSWBv
oGSeP2dnEU0HBu/rsOXj64uNFzBa8dOklhbqVs9xj6orSid4h2LN8YuAgtfVaCot
2kN4vdBeqnDE+aMTMBEwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBE
AiA/xoV69f/90wuFDce9GJ6t0/rg8uqIMR/S9UptJvK0hQIgfwfNvUXcWnQgBW7h
l5Mi7TlrXDXrOC8RTJuw7BEvuDY=
-----END CERTIFICATE-----
"""
_NOW = 1700000000


def _request(value: str, *, trusted: bool = True, name: str = "client-cert") -> dict[str, Any]:
    return {"method": "POST", "path": "in", "headers": {name: value}, "body": b"{}", "peer_trusted": trusted}


SCHEME = Scheme(
    name="mtls",
    about="a client certificate that a trusted proxy forwards",
    fields=(
        Field("fingerprints", ListOf(Fingerprint(), 1, 50), "`mtls`: the certificates themselves, by their SHA-256."),
        Field(
            "ca",
            CertificateText(),
            "`mtls`: the authority that issued the certificate itself; several one after the other.",
        ),
        Field(
            "subjects",
            ListOf(Text(500), 1, 50),
            "`mtls`: the names that count: the subject as RFC 4514 writes it, or an alternative name (DNS, URI, e-mail).",
        ),
        Field(
            "header",
            SenderHeader(),
            "`mtls`: the header that the proxy writes: RFC 9440, PEM in URL encoding, or Envoy's form.",
            default=_DEFAULT_HEADER,
        ),
    ),
    make=_make,
    covers_body=False,
    rules=(_rules,),
    vectors=(
        Vector(
            about="RFC 9440, by its fingerprint",
            source="made for this vector, in the form of RFC 9440",
            declared={"fingerprints": [_FINGERPRINT]},
            keys=[],
            request=_request(f":{_LEAF}:"),
            now=_NOW,
        ),
        Vector(
            about="the same, by authority and name",
            source="made for this vector, in the form of Traefik",
            declared={
                "ca": _AUTHORITY,
                "subjects": ["spiffe://example.com/shop"],
                "header": "X-Forwarded-Tls-Client-Cert",
            },
            keys=[],
            request=_request(_LEAF, name="x-forwarded-tls-client-cert"),
            now=_NOW,
        ),
        Vector(
            about="Envoy's form",
            source="made for this vector, in the form of Envoy",
            declared={"ca": _AUTHORITY, "header": "X-Forwarded-Client-Cert"},
            keys=[],
            request=_request(
                'By=spiffe://us;Hash=00;Cert="-----BEGIN%20CERTIFICATE-----%0A'
                + _LEAF.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
                + '%0A-----END%20CERTIFICATE-----%0A"',
                name="x-forwarded-client-cert",
            ),
            now=_NOW,
            proof=(),
        ),
        Vector(
            about="from somebody who is no trusted proxy",
            source="made for this vector",
            declared={"fingerprints": [_FINGERPRINT]},
            keys=[],
            request=_request(f":{_LEAF}:", trusted=False),
            now=_NOW,
            accepted=False,
        ),
    ),
)
