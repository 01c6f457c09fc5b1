"""`paypal`: RSA over `id|time|webhook id|crc32 of the body`, by a certificate whose URL the request names.

The URL counts only at a declared host; which algorithm signs is ours to say, not the request's.
"""

from __future__ import annotations

import re
import zlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from server.documents.fields import Field, ListOf
from server.documents.scalars import Text
from server.kernel.policies import parse_duration
from server.webhooks.inbound.arrived import Verified
from server.webhooks.verifiers.certificates import fetched, good_at
from server.webhooks.verifiers.fetching import key_material
from server.webhooks.verifiers.fields import DEFAULT_TOLERANCE, TOLERANCE, HostName
from server.webhooks.verifiers.reading import NoHandshake, from_base64, header, refused
from server.webhooks.verifiers.scheme import Scheme, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography import x509

    from server.webhooks.inbound.arrived import Arrived
    from server.webhooks.verifiers.scheme import Fetch

_DEFAULT_HOSTS = ("api.paypal.com",)
_URL = re.compile(r"https://([a-z0-9.-]{1,253})((?:/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}){1,10})")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z")
_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")
_FEWEST_BITS = 2048


class PayPalRequests(NoHandshake):
    """Verifies PayPal's requests."""

    __slots__ = ("_fetch", "_hosts", "_tolerance", "_webhook")

    def __init__(self, webhook: str, hosts: Sequence[str], tolerance: float, fetch: Fetch) -> None:
        self._webhook = webhook
        self._hosts = frozenset(hosts)
        self._tolerance = tolerance
        self._fetch = fetch

    def verify(self, request: Arrived, now: float) -> Verified:
        """See `Verify`. What costs nothing is looked at first: a request that is malformed or old fetches nothing."""
        id_, time = header(request, "paypal-transmission-id"), header(request, "paypal-transmission-time")
        if not _ID.fullmatch(id_):
            raise refused("id")
        if abs(now - _seconds(time)) > self._tolerance:
            raise refused("timestamp")
        signature = from_base64(header(request, "paypal-transmission-sig"))
        if not signature:
            raise refused("signature")
        certificate = self._certificate(header(request, "paypal-cert-url"))
        if not good_at(certificate, now):
            raise refused("dates of the certificate")
        content = f"{id_}|{time}|{self._webhook}|{zlib.crc32(request.body)}".encode()
        if not _fits(certificate, signature, content):
            raise refused("signature")
        return Verified(id_, f"id:{id_}")

    def _certificate(self, url: str) -> x509.Certificate:
        named = _URL.fullmatch(url)
        if named is None or named[1] not in self._hosts:
            raise refused("URL of the certificate")
        return fetched(key_material(self._fetch, url))


def _seconds(text: str) -> float:
    if not _TIME.fullmatch(text):
        raise refused("timestamp")
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise refused("timestamp") from error


def _fits(certificate: x509.Certificate, signature: bytes, content: bytes) -> bool:
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _FEWEST_BITS:
        return False
    try:
        key.verify(signature, content, padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def _make(declared: Mapping[str, Any], _keys: Sequence[str], fetch: Fetch) -> PayPalRequests:
    tolerance = parse_duration(declared.get("tolerance", DEFAULT_TOLERANCE))
    return PayPalRequests(declared["webhook_id"], declared.get("hosts", _DEFAULT_HOSTS), tolerance, fetch)


_CERTIFICATE = (
    b"-----BEGIN CERTIFICATE-----\n"
    b"MIIDODCCAiCgAwIBAgIUKlpXycqhEsX11GVqKbSw1zt7NQYwDQYJKoZIhvcNAQEL\n"
    b"BQAwTDEwMC4GA1UEAwwnbWVzc2FnZXZlcmlmaWNhdGlvbmNlcnRzLnBheXBhbC5l\n"
    b"eGFtcGxlMRgwFgYDVQQKDA9Dcm9zc2RvY2sgdGVzdHMwIBcNMjAwMTAxMDAwMDAw\n"
    b"WhgPMjEyMDAxMDEwMDAwMDBaMEwxMDAuBgNVBAMMJ21lc3NhZ2V2ZXJpZmljYXRp\n"
    b"b25jZXJ0cy5wYXlwYWwuZXhhbXBsZTEYMBYGA1UECgwPQ3Jvc3Nkb2NrIHRlc3Rz\n"
    b"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA74UZpcF4pfSHQVz6rI7V\n"
    b"nNdlDiCPE6sezXvJoFV+hb6cCtiYW+qhFDN+29vr/fEZxd2LcShqG/Uzsaps301R\n"
    b"lGeO3+lZR0LRLiWXETonjwtqdkVsppv7ZOqS6IY9JdQiC55IElLl2oyghp7vGEz9\n"
    b"bAGj/iC7x4eNfCZ4HrXvOCf6q10WfxADTUgCSsAaWwkb15YrAJRHx6+Zqj3I8ilU\n"
    b"nPLl0jbuHG24IDaG9OOiqe6Nf6ZhdWMJ1yhmZvWMlsbeoKhObcw+5OVggMGqkpvb\n"
    b"rXUwon8k4KPkxZ+tEuaBflQB1PmjZyhwQ3/wJEHBQoPKSEg6Qu9m515UX4eXz1Hl\n"
    b"PQIDAQABoxAwDjAMBgNVHRMBAf8EAjAAMA0GCSqGSIb3DQEBCwUAA4IBAQAIaMQk\n"
    b"mFiQQnjVlMT7+aq3b7hulqMdzlQdc4VSKaYHkUuDe/Z5iSe7HAtQJbMRUZp9hG7K\n"
    b"iWZhzaCSL38/221NJOhBdggQpRNZv0182NDwrvw1/EZxtN4ogoKhmS+RBmB2+4Yj\n"
    b"DVn04Q4TrnP75QAAqU7xxILxEertXL1XKak3bDYh3YQEJRf1lyivkdmYuiyG7SQF\n"
    b"9IFQqK2n7otgY16/1O8KeENOWjPGALIPx3IuGOmH0iHVPF99ZwaC65rGib2FgOCa\n"
    b"2pk8Hl0t04gH0uyZVvbs0Q6dy4S6y+b5rlGjJql+AbinpptdELvV9+u+akqQFpDw\n"
    b"IRTK3i78NjIkAGdZ\n"
    b"-----END CERTIFICATE-----\n"
)
_CERTIFICATE_URL = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77"
_SIGNATURE = (
    "Aiu32DXzK/sSN1vkZ401jC+DkY07OmzmMeohSErPjF6bkj5onu6EKIECf9nuv7crooFJmy3LYALSbZ7wJ8bZrYSIfF"
    "3Mmv2H9vdVDmlDL0WXxEXUDzSTFi1I14j6d+G8QU64atxtnkEcOrjZExZt3BL8cK/ehr2hO254OWQqJI2OC9WxyrJ6"
    "RXCwrX/gyWCyPMvUI3sIwdfP6uIYiELB6NupGEyTs1vm9YpKZJaQo8ITdEf5hpDIcscWsTGxRmHRV+MLBlR1MWeE6J"
    "yBxiRntaJlH48T1aYSNvj+EeXctAbm3JNLkHlr1mWs1kdqpkGEEtMgGDWxG8/+k1e0soS4iQ=="
)

SCHEME = Scheme(
    name="paypal",
    about="PayPal's certificates, fetched from a declared host",
    fields=(
        Field("webhook_id", Text(100), "`paypal`: the webhook's id, as PayPal shows it.", required=True),
        Field(
            "hosts",
            ListOf(HostName(), 1, 10),
            "`paypal`: where certificates may stand; the sandbox's are at api.sandbox.paypal.com.",
            default=list(_DEFAULT_HOSTS),
        ),
        TOLERANCE,
    ),
    make=_make,
    blocks=True,
    vectors=(
        Vector(
            about="a sale",
            source="the form of PayPal's SDK tests, signed with a certificate made for this vector",
            declared={"webhook_id": "4JH86294D6297924G", "hosts": ["api.sandbox.paypal.com"]},
            keys=[],
            request={
                "method": "POST",
                "path": "in",
                "headers": {
                    "paypal-transmission-id": "dfb3be50-fd74-11e4-8bf3-77339302725b",
                    "paypal-transmission-time": "2025-05-18T15:45:13Z",
                    "paypal-transmission-sig": _SIGNATURE,
                    "paypal-cert-url": _CERTIFICATE_URL,
                    "paypal-auth-algo": "SHA256withRSA",
                },
                "body": b'{"id":"WH-0G2756385H040842W-5Y612302CV158622M","event_type":"PAYMENT.SALE.COMPLETED"}',
            },
            now=1747583113,
            proof=("paypal-transmission-id", "paypal-transmission-time", "paypal-transmission-sig", "paypal-cert-url"),
            fetched={_CERTIFICATE_URL: _CERTIFICATE},
        ),
    ),
)
