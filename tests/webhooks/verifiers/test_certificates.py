"""Certificates: what a trusted proxy forwards, in every form; who issued it, when it is good, what it is called."""

from __future__ import annotations

import base64
import datetime as dt
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from server.kernel.errors import Invalid, Permanent, Retryable, Unauthenticated, Unavailable
from server.webhooks.inbound.arrived import Arrived
from server.webhooks.verifiers.registry import schemes

YEAR = 365 * 86400
NOW = 1_700_000_000


def name_of(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(name, key, issuer=None, signer=None, *, ca=False, start=NOW - YEAR, end=NOW + YEAR, names=()):
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of(name))
        .issuer_name(issuer.subject if issuer else name_of(name))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(dt.datetime.fromtimestamp(start, dt.UTC))
        .not_valid_after(dt.datetime.fromtimestamp(end, dt.UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer or key, hashes.SHA256())


def pem(made):
    return made.public_bytes(serialization.Encoding.PEM).decode()


def der64(made):
    return base64.b64encode(made.public_bytes(serialization.Encoding.DER)).decode()


ROOT_KEY, KEY, EVIL_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
ROOT = certificate("root", ROOT_KEY, ca=True)
LEAF = certificate(
    "shop", KEY, ROOT, ROOT_KEY, names=[x509.DNSName("shop.example.com"), x509.RFC822Name("a@example.com")]
)
EXPIRED = certificate("shop", KEY, ROOT, ROOT_KEY, end=NOW - 1)
FORGED = certificate("shop", EVIL_KEY, ROOT, EVIL_KEY)
OWN = certificate("shop", EVIL_KEY)
NO_AUTHORITY = certificate("root", ROOT_KEY)
OLD_ROOT = certificate("root", ROOT_KEY, ca=True, end=NOW - 1)
PRINT = LEAF.fingerprint(hashes.SHA256()).hex()


def verifier(**declared):
    return schemes()["mtls"].make({"scheme": "mtls", **declared}, [], Hosts(b""))


def sent(value, name="client-cert", *, trusted=True):
    return Arrived(method="POST", path="in", headers={name: value}, body=b"{}", peer_trusted=trusted)


def refused(verify, request, now=NOW):
    with pytest.raises(Unauthenticated) as error:
        verify.verify(request, now)
    return error.value.code == "SIGNATURE_REFUSED"


FORMS = {
    "RFC 9440": f":{der64(LEAF)}:",
    "nginx": quote(pem(LEAF)),
    "AWS": quote(pem(LEAF), safe="+=/"),
    "with spaces for line ends": pem(LEAF).strip().replace("\n", " "),
    "Traefik": der64(LEAF),
    "Traefik with its chain": f"{der64(LEAF)},{der64(ROOT)}",
    "Envoy": f'Hash=aa;Cert="{quote(pem(LEAF), safe="")}";Subject="CN=root"',
}


@pytest.mark.parametrize("value", FORMS.values(), ids=FORMS)
def test_every_proxys_form_is_read(value):
    verifier(ca=pem(ROOT)).verify(sent(value), NOW)
    verifier(fingerprints=[PRINT]).verify(sent(value), NOW)
    colons = ":".join(PRINT[place : place + 2] for place in range(0, 64, 2)).upper()
    verifier(fingerprints=["00" * 32, colons]).verify(sent(value), NOW)
    assert refused(verifier(fingerprints=["00" * 32]), sent(value))


@pytest.mark.parametrize(
    "other", [EXPIRED, FORGED, OWN], ids=["expired", "forged under the authority's name", "of its own authority"]
)
def test_a_certificate_that_the_authority_did_not_issue_or_that_is_over_is_refused(other):
    assert refused(verifier(ca=pem(ROOT)), sent(der64(other)))


def test_a_certificate_counts_between_its_dates_only():
    verify = verifier(ca=pem(ROOT))
    for now in (NOW - YEAR - 2, NOW + YEAR + 2, 10**18, float("nan")):
        assert refused(verify, sent(der64(LEAF)), now)
    assert refused(verifier(ca=pem(OLD_ROOT)), sent(der64(LEAF)))
    verifier(ca=pem(OLD_ROOT) + pem(ROOT)).verify(sent(der64(LEAF)), NOW)


@pytest.mark.parametrize(
    ("subjects", "taken"),
    [
        (["CN=shop"], True),
        (["shop.example.com"], True),
        (["x", "a@example.com"], True),
        (["shop"], False),
        (["CN=root"], False),
    ],
)
def test_names_count_beside_the_authority(subjects, taken):
    verify = verifier(ca=pem(ROOT), subjects=subjects)
    if taken:
        verify.verify(sent(der64(LEAF)), NOW)
    else:
        assert refused(verify, sent(der64(LEAF)))


def test_only_a_trusted_proxy_forwards_certificates():
    assert refused(verifier(fingerprints=[PRINT]), sent(der64(LEAF), trusted=False))


@pytest.mark.parametrize(
    "value",
    [
        "", ":", "::", ":AA==:", "(null)", "-", "%", "%2D" * 100, quote(pem(LEAF))[:200], quote(pem(LEAF)).replace("MII", "NII"),
        f'Cert="{quote(pem(LEAF))}",Cert="{quote(pem(LEAF))}"', 'Cert=""', "A" * 40_000, der64(LEAF)[:-4], f"x{der64(LEAF)}",
    ],
)  # fmt: skip
def test_a_header_that_holds_no_certificate_is_refused(value):
    assert refused(verifier(ca=pem(ROOT)), sent(value))


def test_an_authority_has_to_be_one():
    for declared in ({}, {"ca": pem(NO_AUTHORITY)}, {"ca": pem(LEAF)}, {"ca": "x"}, {"subjects": ["CN=shop"]}):
        with pytest.raises(Invalid):
            verifier(**declared)


SIGNER = rsa.generate_private_key(65537, 2048)
SIGNING = certificate("paypal", SIGNER)
URL = "https://api.paypal.com/v1/notifications/certs/CERT-1"
TIME = "2023-11-14T22:13:20Z"


def from_paypal(url=URL, key=SIGNER, time=TIME, id_="id-1", body=b"{}"):
    signature = key.sign(f"{id_}|{time}|WH-1|2745614147".encode(), padding.PKCS1v15(), hashes.SHA256())
    headers = {
        "paypal-transmission-id": id_,
        "paypal-transmission-time": time,
        "paypal-transmission-sig": base64.b64encode(signature).decode(),
        "paypal-cert-url": url,
        "paypal-auth-algo": "SHA1withRSA",
    }
    return Arrived(method="POST", path="in", headers=headers, body=body)


class Hosts:
    """Where certificates stand."""

    def __init__(self, body):
        self.body = body
        self.asked = []

    def __call__(self, url, *, anew=False):
        self.asked.append((url, anew))
        if isinstance(self.body, Exception):
            raise self.body
        return self.body


def paypal(body=None, **declared):
    hosts = Hosts(pem(SIGNING).encode() if body is None else body)
    return schemes()["paypal"].make({"scheme": "paypal", "webhook_id": "WH-1", **declared}, [], hosts), hosts


def test_paypals_signature_is_verified_by_the_certificate_that_its_host_publishes():
    verify, hosts = paypal()
    assert verify.verify(from_paypal(), NOW).replay_key == "id:id-1"
    assert hosts.asked == [(URL, False)]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v1/notifications/certs/CERT-1", "http://api.paypal.com/c", "https://api.paypal.com.evil.example/c",
        "https://api.paypal.com@evil.example/c", "https://evil.example/https://api.paypal.com/c", "https://api.paypal.com:444/c",
        "https://api.paypal.com/../c", "https://api.paypal.com/a/../c", "https://api.paypal.com/c?x=1", "https://api.paypal.com/c#x",
        "https://api.paypal.com\\@evil.example/c", "https://API.paypal.com/c", "https://api.paypal.com/%2e%2e/c", "//api.paypal.com/c",
        "https://api.paypal.com", "https://api.paypal.com//evil.example", "file:///etc/passwd", "https://аpi.paypal.com/c", "",
        "https://api.sandbox.paypal.com/c", "https://api.paypal.com/c\n", "https://api.paypal.com/" + "c/" * 5000,
    ],
)  # fmt: skip
def test_a_certificate_stands_at_a_declared_host_or_nowhere(url):
    verify, hosts = paypal()
    assert refused(verify, from_paypal(url))
    assert hosts.asked == []


@pytest.mark.parametrize(
    "changed",
    [
        {"time": "2023-11-14T22:13:20"}, {"time": "2023-11-14 22:13:20Z"}, {"time": "1700000000"}, {"time": "2023-13-14T22:13:20Z"},
        {"time": "2023-11-14T22:08:19Z"}, {"time": "2023-11-14T22:18:21Z"}, {"id_": "a|b"}, {"id_": ""},
    ],
)  # fmt: skip
def test_what_is_malformed_or_old_fetches_nothing(changed):
    verify, hosts = paypal()
    assert refused(verify, from_paypal(**changed))
    assert hosts.asked == []


def test_what_the_certificate_does_not_prove_is_refused():
    assert refused(paypal()[0], from_paypal(key=rsa.generate_private_key(65537, 2048)))
    assert refused(paypal()[0], from_paypal(body=b"{} "))
    assert refused(paypal(webhook_id="WH-2")[0], from_paypal())
    for body in (
        b"",
        b"x",
        pem(EXPIRED).encode(),
        pem(LEAF).encode(),
        pem(certificate("p", SIGNER, end=NOW - 1)).encode(),
    ):
        assert refused(paypal(body)[0], from_paypal())
    assert refused(paypal(Permanent("404"))[0], from_paypal())
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505 - what has to be refused
    assert refused(paypal(pem(certificate("p", short)).encode())[0], from_paypal(key=short))
    with pytest.raises(Unavailable):
        paypal(Retryable("away"))[0].verify(from_paypal(), NOW)
