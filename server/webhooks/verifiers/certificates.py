"""X.509 certificates of senders: read from a forwarded header or a fetched file, and what is asked of them."""

from __future__ import annotations

import base64
import binascii
import re
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from server.documents.fields import WRONG_VALUE, FieldType
from server.documents.scalars import text_of
from server.webhooks.verifiers.reading import raw, refused

if TYPE_CHECKING:
    from server.documents.checking import Checker
    from server.documents.nodes import Node

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]{1,20000})-----END CERTIFICATE-----")
_XFCC = re.compile(r'(?:^|[;,])Cert="([^"]{1,16000})"', re.IGNORECASE)
_BARE = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_SPACE = re.compile(rb"\s+")
_LONGEST = 50_000


class CertificateText(FieldType):
    """Certificates in PEM: public, so no credential; a private key among them is refused by the form."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check that there is one at least and that all can be read."""
        text = text_of(node, checker, "certificates in PEM")
        if text is not None and (len(text) > _LONGEST or not authorities(text) or "PRIVATE" in text):
            checker.error(
                WRONG_VALUE, node, "certificates in PEM are needed here: -----BEGIN CERTIFICATE----- and so on"
            )

    def schema(self) -> dict[str, Any]:
        """Return the schema of the text."""
        return {"type": "string", "maxLength": _LONGEST}

    def label(self) -> str:
        """Return `certificates (PEM)`."""
        return "certificates (PEM)"


def authorities(pem: str) -> tuple[x509.Certificate, ...]:
    """Return the certificates of authorities in a PEM text; empty where one of them cannot be read or is no authority's."""
    found = [_read(each) for each in _ders(pem.encode("utf-8", "replace"))]
    return (
        tuple(each for each in found if each is not None) if all(each and _is_authority(each) for each in found) else ()
    )


def forwarded(value: str) -> x509.Certificate:
    """Return the client's certificate from the header that a proxy writes.

    Taken are RFC 9440 (`:base64:`), PEM in URL encoding (nginx, HAProxy, AWS), base64 alone (Traefik), and Envoy's
    `X-Forwarded-Client-Cert` with one `Cert`.

    Raises:
        Unauthenticated: SIGNATURE_REFUSED.

    """
    named = _XFCC.findall(value)
    if len(named) > 1:
        raise refused("several certificates")
    plain = unquote_to_bytes(raw(named[0] if named else value))
    if plain.startswith(b":") and plain.endswith(b":"):
        plain = plain[1:-1]
    ders = _ders(plain) if b"BEGIN" in plain else [_from_base64(plain.partition(b",")[0])]
    found = _read(ders[0]) if ders else None
    if found is None:
        raise refused("no certificate")
    return found


def fetched(body: bytes) -> x509.Certificate:
    """Return the first certificate of a PEM file.

    Raises:
        Unauthenticated: SIGNATURE_REFUSED: there is none.

    """
    ders = _ders(body)
    found = _read(ders[0]) if ders else None
    if found is None:
        raise refused("no certificate")
    return found


def fingerprint(certificate: x509.Certificate) -> bytes:
    """Return its SHA-256."""
    return certificate.fingerprint(SHA256())


def good_at(certificate: x509.Certificate, now: float) -> bool:
    """Say whether it is within its dates; `now` in seconds since 1970."""
    try:
        moment = datetime.fromtimestamp(now, UTC)
    except (ValueError, OverflowError, OSError):
        return False
    return certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc


def names_of(certificate: x509.Certificate) -> set[str]:
    """Return the subject as RFC 4514 writes it, and the alternative names: DNS, URI, e-mail."""
    try:
        found = {certificate.subject.rfc4514_string()}
        other = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return found
    except Exception as error:  # the library has no one class for what a strange certificate makes it raise
        raise refused("certificate") from error
    for kind in (x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name):
        found.update(other.get_values_for_type(kind))
    return found


def issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Say whether the authority itself signed the certificate."""
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # noqa: BLE001 - as above: whatever is wrong with it, it was not shown to be issued
        return False
    return True


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except Exception:  # noqa: BLE001 - as above
        return False


def _ders(pem: bytes) -> list[bytes | None]:
    return [_from_base64(_SPACE.sub(b"", each)) for each in _PEM.findall(pem)]


def _from_base64(text: bytes) -> bytes | None:
    if not _BARE.fullmatch(text):
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


def _read(der: bytes | None) -> x509.Certificate | None:
    if der is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities of senders' certificates are not ours to report
            read = x509.load_der_x509_certificate(der)
            _ = read.extensions, read.subject, read.public_key()
    except Exception:  # noqa: BLE001 - senders choose these bytes, and the library has no one class for what they do
        return None
    return read
