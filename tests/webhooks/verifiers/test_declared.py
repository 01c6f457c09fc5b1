"""What `check` says of `verify`, and what becomes of a checked one: secrets in rotation, schemes that are one file each."""

from __future__ import annotations

import pytest

from server.documents.values import secrets_in
from server.kernel.errors import Unauthenticated
from server.sdk.signing import Signer, generate_private_key, generate_secret
from server.sdk.signing_schemes import signer_of
from server.webhooks.inbound.arrived import Arrived
from server.webhooks.verifiers.certificates import CertificateText
from server.webhooks.verifiers.registry import VERIFY, blocks, key_names, schemes, secret_names, verifier_of
from tests.authoring.worlds import INBOUND, ROOT, checked, codes, lines

GITHUB = "verify: {scheme: github, key: {secret: SENDER}}"
HMAC = "scheme: hmac, key: {secret: A}, header: X-Sig, signed: '{timestamp}.{body}', timestamp: {header: X-Time}"
JWKS = "scheme: jwt, algorithms: [RS256], jwks_url: https://sender.example.com/jwks"
CA = schemes()["mtls"].vectors[1].declared["ca"]
PRINT = schemes()["mtls"].vectors[0].declared["fingerprints"][0]


def inbound(verify):
    assert GITHUB in INBOUND
    return INBOUND.replace(GITHUB, f"verify: {{{verify}}}")


@pytest.mark.parametrize(
    "verify",
    [
        "scheme: standard-webhooks, key: [{secret: A}, {secret: B}]", "scheme: svix, key: {secret: A}",
        "scheme: github, key: {secret: A}", "scheme: gitlab, key: {secret: A}", "scheme: shopify, key: {secret: A}",
        "scheme: stripe, key: {secret: A}, tolerance: 10m", "scheme: slack, key: {secret: A}", "scheme: telegram, key: {secret: A}",
        "scheme: basic, username: shop, key: {secret: A}", "scheme: basic, username: {secret: U}, key: {secret: A}",
        "scheme: api_key, header: X-Api-Key, key: {secret: A}", "scheme: api_key, query: code, key: {secret: A}",
        "scheme: api_key, header: Authorization, prefix: 'Token ', key: {secret: A}",
        "scheme: whatsapp, key: {secret: A}, verify_token: {secret: T}",
        "scheme: twilio, key: {secret: A}", "scheme: twilio, key: {secret: A}, url: 'https://h.example.com/in/c', algorithm: sha256",
        "scheme: paypal, webhook_id: 4JH86294D6297924G", "scheme: paypal, webhook_id: WH-1, hosts: [api.sandbox.paypal.com]",
        HMAC, f"{HMAC}, algorithm: sha512, encoding: base64url, prefix: v1=, key_encoding: hex",
        HMAC.replace("X-Time", "X-Time, tolerance: 1h"), HMAC.replace("{timestamp}", "{header:X-Time}"),
        "scheme: hmac, key: {secret: A}, header: Authorization, signed: '{id}.{body}', id: {header: webhook-id}, prefix: 'HMAC '",
        "scheme: jwt, algorithms: [HS256, HS512], key: {secret: A}", f"{JWKS}, issuer: me, audience: [a, b]",
        f"{JWKS}, issuer: me, audience: a, claims: {{email: a@example.com, email_verified: true}}, max_age: 1h, header: X-Token",
        f"scheme: mtls, fingerprints: [{PRINT}]", "scheme: ip, networks: [192.0.2.0/24, 2001:db8::/32, 192.0.2.9]",
        "scheme: github, key: {secret: A}, origins: [eventgrid.azure.net]",
    ],
)  # fmt: skip
def test_every_scheme_is_declared_in_a_line(verify):
    assert lines(checked(inbound(verify))) == []


@pytest.mark.parametrize(
    ("verify", "expected"),
    [
        ("scheme: none", ["NOT_VERIFIED"]),
        ("key: {secret: A}", ["MISSING_KEY"]),
        ("scheme: githob, key: {secret: A}", ["WRONG_VALUE"]),
        ("scheme: github", ["MISSING_KEY"]),
        ("scheme: github, key: text", ["WRONG_TYPE"]),
        ("scheme: github, key: []", ["WRONG_VALUE"]),
        ("scheme: github, key: {secret: A}, tolerance: 5m", ["UNKNOWN_KEY"]),
        ("scheme: stripe, key: {secret: A}, tolerance: 2d", ["WRONG_VALUE"]),
        ("scheme: basic, username: 'a:b', key: {secret: A}", ["WRONG_VALUE"]),
        ("scheme: api_key, key: {secret: A}", ["MISSING_KEY"]),
        ("scheme: api_key, key: {secret: A}, header: X, query: x", ["CONTRADICTION"]),
        ("scheme: api_key, key: {secret: A}, header: Content-Length", ["WRONG_VALUE"]),
        ("scheme: api_key, key: {secret: A}, header: 'a b'", ["WRONG_VALUE"]),
        ("scheme: whatsapp, key: {secret: A}, verify_token: abc", ["WRONG_TYPE"]),
        ("scheme: twilio, key: {secret: A}, url: hooks.example.com", ["URL_REFUSED"]),
        ("scheme: paypal, webhook_id: WH-1, hosts: ['https://api.paypal.com']", ["WRONG_VALUE"]),
        ("scheme: paypal, webhook_id: WH-1, hosts: []", ["WRONG_VALUE"]),
        ("scheme: hmac, key: {secret: A}", ["MISSING_KEY", "MISSING_KEY"]),
        (HMAC.replace("{body}", "{boddy}"), ["TEMPLATE_INVALID"]),
        (HMAC.replace(".{body}", ""), ["TEMPLATE_INVALID"]),
        (HMAC.replace("{timestamp}.", ""), ["TIMESTAMP_UNSIGNED"]),
        (HMAC.replace("{timestamp}.", "{header:X-Shop}."), ["TIMESTAMP_UNSIGNED"]),
        (HMAC.replace("{timestamp}.", "{timestamp}{header:X-Shop}."), ["SIGNED_AMBIGUOUS"]),
        (f"{HMAC}, algorithm: md5", ["WRONG_VALUE"]),
        ("scheme: jwt, key: {secret: A}", ["MISSING_KEY"]),
        ("scheme: jwt, algorithms: [none], key: {secret: A}", ["WRONG_VALUE"]),
        ("scheme: jwt, algorithms: [HS256, RS256], key: {secret: A}", ["CONTRADICTION"]),
        ("scheme: jwt, algorithms: [HS256]", ["MISSING_KEY"]),
        (f"{JWKS}, issuer: me, audience: a, key: {{secret: A}}", ["CONTRADICTION"]),
        (f"{JWKS}", ["MISSING_KEY", "MISSING_KEY"]),
        (f"{JWKS}, issuer: me, audience: a".replace("RS256", "HS256"), ["CONTRADICTION"]),
        (f"{JWKS}, issuer: me, audience: a".replace("https", "http"), ["WRONG_VALUE"]),
        (f"{JWKS}, issuer: me, audience: a".replace("sender.example.com", "169.254.169.254"), ["ADDRESS_REFUSED"]),
        ("scheme: mtls", ["CONTRADICTION"]),
        ("scheme: mtls, subjects: [CN=shop]", ["MISSING_KEY"]),
        ("scheme: mtls, fingerprints: [abc]", ["WRONG_VALUE"]),
        ("scheme: mtls, ca: text", ["WRONG_VALUE"]),
        ("scheme: ip, networks: [192.0.2.1/24]", ["WRONG_VALUE"]),
        ("scheme: ip, networks: []", ["WRONG_VALUE"]),
        ("scheme: github, key: {secret: A}, origins: ['*']", ["WRONG_VALUE"]),
    ],
)
def test_a_fault_of_the_declaration_is_a_finding(verify, expected):
    result = checked(inbound(verify))
    assert codes(result) == expected
    assert all(finding.severity == "warning" for finding in result.findings) == (
        set(expected) <= {"NOT_VERIFIED", "TIMESTAMP_UNSIGNED", "SIGNED_AMBIGUOUS"}
    )


def test_an_authority_stands_in_the_definition_as_pem():
    block = "verify:\n  scheme: mtls\n  subjects: ['CN=shop']\n  ca: |\n" + "".join(
        f"    {line}\n" for line in CA.splitlines()
    )
    assert lines(checked(INBOUND.replace(f"{GITHUB}\n", block))) == []
    assert CertificateText().label() == "certificates (PEM)"


def test_verify_has_to_be_spelled_out():
    assert codes(checked(INBOUND.replace(f"{GITHUB}\n", ""))) == ["MISSING_KEY"]


def test_each_field_stands_once_in_the_reference_with_what_it_means_to_every_scheme():
    fields = dict(VERIFY.below())
    assert set(schemes()) == {word.strip("`") for word in fields[".scheme"].type.label().split(" · ")}
    assert "`api_key`" in fields[".header"].about
    assert "`hmac`" in fields[".header"].about
    assert all(f"`{name}`, {scheme.about}" in fields[".scheme"].about for name, scheme in schemes().items())


def test_the_secrets_of_a_declaration_are_all_named_and_its_keys_in_order():
    declared = {"scheme": "whatsapp", "key": [{"secret": "NEW"}, {"secret": "OLD"}], "verify_token": {"secret": "T"}}
    assert key_names(declared) == ["NEW", "OLD"]
    assert secret_names(declared) == secrets_in(declared) == {"NEW", "OLD", "T"}
    assert [blocks({"scheme": name}) for name in ("github", "jwt", "paypal")] == [False, True, True]


def no_fetch(url, *, anew=False):
    raise AssertionError(url, anew)


ROTATING = {
    "standard-webhooks": [generate_secret(), generate_secret(), generate_private_key()],
    "github": ["new", "old", "older"],
    "stripe": ["whsec_new", "whsec_old", "whsec_older"],
    "slack": ["new", "old", "older"],
}


@pytest.mark.parametrize(("scheme", "keys"), ROTATING.items(), ids=ROTATING)
def test_while_a_secret_is_changed_any_valid_version_fits_and_a_revoked_one_does_not(scheme, keys):
    now = 1_700_000_000
    declared = {"scheme": scheme, "key": [{"secret": "NEW"}, {"secret": "OLD"}]}
    verify = verifier_of(declared, {"NEW": keys[:2], "OLD": keys[2:]}, no_fetch)
    for key in keys:
        signer = Signer([key]) if scheme == "standard-webhooks" else signer_of({"scheme": scheme}, [key])
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now), **signer.headers("msg_1", now, b"{}", {})}
        request = Arrived(
            method="POST", path="in", headers={name.lower(): value for name, value in headers.items()}, body=b"{}"
        )
        verify.verify(request, now)
        revoked = verifier_of(declared, {"NEW": [each for each in keys if each != key], "OLD": []}, no_fetch)
        with pytest.raises(Unauthenticated):
            revoked.verify(request, now)


def test_the_page_of_schemes_names_each_and_says_what_its_proof_covers():
    page = (ROOT / "docs/verifiers.md").read_text("utf-8")
    rows = {
        cells[1].strip(" `"): cells
        for line in page.splitlines()
        if (cells := line.split("|"))[0] == "" and len(cells) == 6
    }
    assert set(rows) - {"scheme", "---"} == set(schemes())
    for name, scheme in schemes().items():
        assert rows[name][3].strip() == ("yes" if scheme.covers_body else "no")
