"""What `check` and `test` say of `sign`: every fault that can be seen without the key is seen, and no key is needed."""

from __future__ import annotations

import pytest

from server.authoring.testing import test as run_tests
from tests.authoring.worlds import ORDERS, catalog, checked, codes, lines

DESCRIBED = "sign: {scheme: hmac, key: {secret: A}, header: X-Sig, signed: '{timestamp}.{body}'%s}\n"


@pytest.mark.parametrize(
    "sign",
    [
        "sign: {scheme: standard-webhooks, key: [{secret: SHARED}, {secret: PRIVATE}]}\n",
        "sign: {scheme: standard-webhooks-v1a, key: {secret: A}}\n",
        "sign: {scheme: github, key: {secret: A}}\n",
        "sign: {scheme: stripe, key: [{secret: A}, {secret: B}]}\n",
        "sign: {scheme: slack, key: {secret: A}}\n",
        DESCRIBED % "",
        DESCRIBED
        % ", algorithm: sha512, encoding: base64url, prefix: v1=, timestamp: {header: X-T}, id: {header: X-I}",
        DESCRIBED.replace("{timestamp}", "{id}/{header:Content-Type}/{header:webhook-timestamp}")
        % ", key_encoding: hex",
    ],
)
def test_every_scheme_is_declared_in_a_line(sign):
    assert lines(checked(ORDERS + sign)) == []


@pytest.mark.parametrize(
    ("sign", "expected"),
    [
        ("sign: {key: {secret: A}}\n", ["MISSING_KEY"]),
        ("sign: {scheme: github}\n", ["MISSING_KEY"]),
        ("sign: {scheme: githob, key: {secret: A}}\n", ["WRONG_VALUE"]),
        ("sign: {scheme: github, key: text}\n", ["WRONG_TYPE"]),
        ("sign: {scheme: github, key: []}\n", ["WRONG_VALUE"]),
        ("sign: {scheme: github, key: {secret: A}, header: X-Sig}\n", ["UNKNOWN_KEY"]),
        ("sign: {scheme: hmac, key: {secret: A}}\n", ["MISSING_KEY", "MISSING_KEY"]),
        ("sign: [1]\n", ["WRONG_TYPE"]),
        ("sign: {scheme: [1], key: {secret: A}}\n", ["WRONG_TYPE"]),
        (DESCRIBED % ", algorithm: md5", ["WRONG_VALUE"]),
        (DESCRIBED % ", timestamp: {header: X-T, tolerance: 5m}", ["UNKNOWN_KEY"]),
        (DESCRIBED.replace("X-Sig", "Host") % "", ["WRONG_VALUE"]),
        (DESCRIBED.replace("X-Sig", "webhook-id") % "", ["WRONG_VALUE"]),
        (DESCRIBED.replace("X-Sig", "Authorization") % "", ["WRONG_VALUE"]),
        (DESCRIBED.replace("{body}", "{boddy}") % "", ["TEMPLATE_INVALID"]),
        (DESCRIBED.replace(".{body}", "") % "", ["TEMPLATE_INVALID"]),
        (DESCRIBED % "" + "request: {headers: {x-sig: a}}\n", ["CONTRADICTION"]),
        (
            "sign: {scheme: slack, key: {secret: A}}\nrequest: {headers: {X-Slack-Request-Timestamp: a}}\n",
            ["CONTRADICTION"],
        ),
        ("sign: {scheme: github, key: [{secret: A}, {secret: B}]}\n", ["KEY_UNUSED"]),
        (DESCRIBED.replace("{secret: A}", "[{secret: A}, {secret: B}]") % "", ["KEY_UNUSED"]),
    ],
)
def test_a_fault_of_the_declaration_is_a_finding(sign, expected):
    assert codes(checked(ORDERS + sign)) == expected


def test_a_signed_header_that_no_request_has_is_a_finding_where_all_headers_are_known():
    to_url = ORDERS.replace("integration: warehouse", "url: https://x.example.com")
    sign = DESCRIBED.replace("{timestamp}", "{header:X-Shop}") % ""
    assert codes(checked(to_url + sign)) == ["WRONG_VALUE"]
    assert codes(checked(to_url + sign + "request: {headers: {x-shop: a}}\n")) == []
    assert codes(checked(ORDERS + sign)) == []


@pytest.mark.parametrize(
    ("sign", "headers"),
    [
        (
            "{scheme: standard-webhooks, key: [{secret: A}, {secret: B}]}",
            "{webhook-signature: 'v1,<signature> v1,<signature>'}",
        ),
        ("{scheme: standard-webhooks-v1a, key: {secret: A}}", "{webhook-signature: 'v1a,<signature>'}"),
        ("{scheme: github, key: {secret: A}}", "{X-Hub-Signature-256: sha256=<signature>}"),
        ("{scheme: stripe, key: {secret: A}}", "{Stripe-Signature: 't=<timestamp>,v1=<signature>'}"),
        (
            "{scheme: slack, key: {secret: A}}",
            "{X-Slack-Signature: v0=<signature>, X-Slack-Request-Timestamp: <timestamp>}",
        ),
        (
            "{scheme: hmac, key: {secret: A}, header: X-Sig, signed: '{id}{body}', prefix: p, id: {header: X-Id}}",
            "{X-Sig: p<signature>, X-Id: <id>}",
        ),
    ],
)
def test_a_test_sees_which_headers_the_signature_adds_without_any_key(sign, headers):
    tests = (
        "tests:\n  - name: signed\n    given: {event: order.created, data: {order_id: a, total: '1'}}\n"
        f"    expect: {{requests: [{{headers: {headers}}}]}}\n"
    )
    result = checked(f"{ORDERS}sign: {sign}\n{tests}")
    assert lines(result) == []
    outcomes = run_tests(result.documents, catalog())
    assert [each.differences for each in outcomes.outcomes] == [()]
