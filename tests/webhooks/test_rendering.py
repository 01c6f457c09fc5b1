"""From a webhook and an event to the request, the same for deliveries and tests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.events.envelope import to_json
from server.kernel.errors import Permanent
from server.webhooks.dry_run import event_of
from server.webhooks.outbound import webhook_of
from server.webhooks.rendering import Rendered, Skipped, join_path, order_key, render


def webhook(**more: Any) -> Any:
    return webhook_of({"name": "w", "events": ["a.b"], "url": "https://x.example.com", **more})


def event(data: Any, **more: Any) -> Any:
    return event_of({"event": "a.b", "data": data, **more})


def sent(made: Rendered | Skipped) -> Rendered:
    assert isinstance(made, Rendered)
    return made


def test_without_a_map_the_standard_webhooks_payload_is_sent() -> None:
    request = sent(render(webhook(), event({"x": 1}), "/api"))
    assert request.body == b'{"type":"a.b","timestamp":"2026-01-01T00:00:00Z","data":{"x":1}}'
    assert (request.method, request.path, request.headers) == ("POST", "/api", {"Content-Type": "application/json"})


def test_without_a_map_every_digit_of_the_data_is_kept() -> None:
    made = event({})
    object.__setattr__(made, "data", '{"x":1.10,"y":1e2,"z":"\\u00e9"}')
    assert sent(render(webhook(), made, "")).body.endswith(b'"data":{"x":1.10,"y":1e2,"z":"\\u00e9"}}')


def test_with_a_map_just_what_it_makes_is_sent() -> None:
    map_ = {"n": "data.x", "t": {"from": "data.y", "type": "decimal", "round": 2}, "c": {"value": "erp"}, "d": "data.d"}
    request = sent(render(webhook(map=map_), event({"x": 3, "y": "2", "d": 1.5}), ""))
    assert request.body == b'{"n":3,"t":"2.00","c":"erp","d":1.5}'
    assert request.json["c"] == "erp"


def test_a_map_may_make_a_list_or_null() -> None:
    assert sent(render(webhook(map=["data.x"]), event({"x": "é"}), "")).body == '["é"]'.encode()
    assert sent(render(webhook(map="data.nothing"), event({}), "")).body == b"null"


@pytest.mark.parametrize(
    ("value", "goes"),
    [
        (True, True),
        (1, True),
        (0, True),
        ("x", True),
        (False, False),
        (None, False),
        ("", False),
        ([], False),
        ({}, False),
    ],
)
def test_when_decides_by_the_truth_of_jmespath(value: Any, goes: bool) -> None:
    assert isinstance(render(webhook(when="data.x"), event({"x": value}), ""), Rendered) is goes


def test_an_error_in_when_is_no_false() -> None:
    with pytest.raises(Permanent):
        render(webhook(when="data.x > 1"), event({"x": "a"}), "")


def test_values_in_the_path_stay_one_piece() -> None:
    hook = webhook(request={"path": "/o/{{ data.x }}?q={{ data.x }}"})
    assert (
        sent(render(hook, event({"x": "a/../b?c&é"}), "/api")).path
        == "/api/o/a%2F..%2Fb%3Fc%26%C3%A9?q=a%2F..%2Fb%3Fc%26%C3%A9"
    )


@pytest.mark.parametrize("value", ["..", "."])
def test_a_value_cannot_lead_out_of_the_path(value: str) -> None:
    with pytest.raises(Permanent, match="path"):
        render(webhook(request={"path": "/o/{{ data.x }}/y"}), event({"x": value}), "/api")


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\0b", "é"])
def test_a_value_cannot_split_a_header(value: str) -> None:
    with pytest.raises(Permanent) as raised:
        render(webhook(request={"headers": {"X-A": "{{ data.x }}"}}), event({"x": value}), "")
    assert raised.value.code == "REQUEST_REFUSED"


def test_headers_are_filled_in_and_may_name_the_content_type() -> None:
    hook = webhook(
        request={"method": "PUT", "headers": {"X-A": "{{ event.type }}!", "content-type": "application/x+json"}}
    )
    request = sent(render(hook, event({}), ""))
    assert (request.method, request.headers) == ("PUT", {"X-A": "a.b!", "content-type": "application/x+json"})


@pytest.mark.parametrize(
    ("base", "path", "joined"),
    [
        ("", "", "/"),
        ("/api", "", "/api"),
        ("/api/", "/x", "/api/x"),
        ("/api", "x", "/api/x"),
        ("", "?a=1", "?a=1"),
        ("/a", "?b=1", "/a?b=1"),
    ],
)
def test_a_path_is_appended_to_the_base_path(base: str, path: str, joined: str) -> None:
    assert join_path(base, path) == joined


@pytest.mark.parametrize("path", ["/..", "/a/../b", "/./a", "..", "/a b", "/é", "/" + "a" * 3000, "/a\r\nb"])
def test_a_path_that_cannot_be_sent_is_refused(path: str) -> None:
    with pytest.raises(Permanent):
        join_path("/api", path)


@pytest.mark.parametrize(
    ("value", "key"), [("A", "A"), (None, None), (1, "1"), (1.50, "1.5"), (True, "true"), ([1], "[1]")]
)
def test_the_order_key_is_a_text_or_nothing(value: Any, key: str | None) -> None:
    assert order_key(webhook(order_by="data.x"), event({"x": value})) == key
    assert order_key(webhook(), event({"x": value})) is None


def test_a_webhook_is_compiled_once() -> None:
    hook = webhook(when="data.x")
    assert hook.compiled is hook.compiled


def test_a_typed_view_fills_in_the_defaults() -> None:
    hook = webhook()
    assert (hook.method, hook.timeout, hook.expires, hook.max_in_flight) == ("POST", 20.0, 432_000.0, 10)
    assert (hook.retry.tries, hook.retry.jitter, hook.sign_secrets) == (10, 0.2, ())


def test_attempts_are_one_more_than_the_pauses() -> None:
    hook = webhook(retry={"attempts": 4, "initial": "1s", "multiplier": 2, "max": "3s", "jitter": 0})
    assert hook.retry.delays == (1.0, 2.0, 3.0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=5).filter(str.isprintable), below, max_size=4),
    max_leaves=15,
)  # fmt: skip


@given(JSON)
def test_any_data_is_sent_as_it_is(data: Any) -> None:
    assert json.loads(sent(render(webhook(), event(data), "")).body)["data"] == data
    assert json.loads(sent(render(webhook(map="data"), event(data), "")).body) == json.loads(to_json(data))
