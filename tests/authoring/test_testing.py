"""`test` runs a definition's own tests as delivery would act, and shows what differs."""

from __future__ import annotations

import pytest

from server.authoring.testing import test as run

from .worlds import ORDERS, catalog, checked

HEAD = (
    ORDERS
    + "when: to_decimal(data.total) > 100\nmap: {id: data.order_id, total: {from: data.total, type: decimal, round: 2}}\n"
)
LARGE = "given: {event: order.created, data: {order_id: SO-1, total: '150'}}"
SMALL = "given: {event: order.created, data: {order_id: SO-1, total: '99'}}"
WRONG = "given: {event: order.created, data: {order_id: SO-1, total: abc}}"
REQUEST = "{method: POST, path: /api, json: {id: SO-1, total: '150.00'}}"


def outcome(*lines: str, head: str = HEAD) -> tuple[str, ...]:
    text = head + "tests:\n  - name: t\n" + "".join(f"    {line}\n" for line in lines)
    result = checked(text)
    assert result.errors == ()
    (found,) = run(result.documents, catalog()).outcomes
    assert (found.test, found.file, found.definition) == ("t", "a.yaml", "webhook/orders")
    assert found.passed == (not found.differences)
    return found.differences


@pytest.mark.parametrize(
    "lines",
    [
        (LARGE, f"expect: {{requests: [{REQUEST}]}}"),
        (LARGE, "expect: {requests: [{headers: {content-type: application/json}}], status: delivered}"),
        (SMALL, "expect: {requests: []}"),
        (SMALL, "expect: {status: skipped}"),
        (WRONG, "expect: {status: dead, requests: []}"),
        (
            LARGE,
            "answers: [{status: 503}, {status: 200}]",
            f"expect: {{requests: [{REQUEST}, {REQUEST}], status: delivered}}",
        ),
        (LARGE, "answers: [{status: 503}]", "expect: {status: waiting}"),
        (LARGE, "answers: [{status: 410}]", "expect: {status: dead}"),
        (LARGE, "answers: [{status: 400}]", "expect: {status: dead}"),
    ],
)
def test_what_is_expected_passes(lines: tuple[str, ...]) -> None:
    assert outcome(*lines) == ()


@pytest.mark.parametrize(
    ("lines", "difference"),
    [
        ((LARGE, "expect: {requests: []}"), "requests: expected 0, sent 1"),
        ((SMALL, f"expect: {{requests: [{REQUEST}]}}"), "requests: expected 1, sent 0"),
        ((LARGE, "expect: {requests: [{method: PUT}]}"), 'requests[0].method: expected "PUT", got "POST"'),
        ((LARGE, "expect: {requests: [{path: /x}]}"), 'requests[0].path: expected "/x", got "/api"'),
        (
            (LARGE, "expect: {requests: [{json: {id: SO-1, total: '150'}}]}"),
            'requests[0].json.total: expected "150", got "150.00"',
        ),
        (
            (LARGE, "expect: {requests: [{json: {id: SO-1, total: 150}}]}"),
            'requests[0].json.total: expected 150, got "150.00"',
        ),
        ((LARGE, "expect: {requests: [{json: {id: SO-1}}]}"), 'requests[0].json.total: expected nothing, got "150.00"'),
        (
            (LARGE, "expect: {requests: [{json: {id: SO-1, total: '150.00', x: null}}]}"),
            "requests[0].json.x: expected null, got nothing",
        ),
        ((LARGE, "expect: {requests: [{headers: {X-Y: a}}]}"), 'requests[0].headers.X-Y: expected "a", got null'),
        ((LARGE, "expect: {status: skipped}"), 'status: expected "skipped", got "delivered"'),
        (
            (LARGE, "answers: [{status: 204}, {status: 500}]", "expect: {status: delivered}"),
            "answers[1] was never asked for: the delivery had ended delivered",
        ),
    ],
)
def test_what_differs_is_shown(lines: tuple[str, ...], difference: str) -> None:
    assert outcome(*lines)[0] == difference


def test_a_map_that_fails_says_why() -> None:
    first, reason = outcome(WRONG, f"expect: {{requests: [{REQUEST}]}}")
    assert first == "requests: expected 1, sent 0"
    assert "abc" in reason


def test_the_tries_of_the_schedule_are_the_last() -> None:
    head = HEAD + "retry: {attempts: 2}\n"
    assert outcome(LARGE, "answers: [{status: 503}, {status: 503}]", "expect: {status: dead}", head=head) == ()


def test_a_url_without_integration_has_its_own_path() -> None:
    head = HEAD.replace("integration: warehouse", "url: https://x.example.com/hooks/in/")
    assert outcome(LARGE, "expect: {requests: [{path: /hooks/in}]}", head=head) == ()
