"""`check` is right: what it accepts cannot fail for a reason that it could have seen, and every error has its place."""

from __future__ import annotations

import copy
import json
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from server.authoring.check import check, check_path
from server.authoring.testing import test as run_tests
from server.documents.catalog import FixedCatalog
from server.documents.kinds import hash_of
from server.documents.nodes import plain
from server.documents.reading import File, read_file
from server.transport.addresses import AddressPolicy

from .worlds import INBOUND, ORDER_CREATED, ORDERS, ROOT, WAREHOUSE, at, catalog, checked, codes, lines

if TYPE_CHECKING:
    from pathlib import Path

W2 = WAREHOUSE.replace("warehouse\n", "w2\n", 1)
CALL = "warehouse.request.send"
FAULTS = [
    # (text, where the finding points to, code, suggestion)
    ("kind: Integration\nnam: w\nplugin: http\nconfig: {base_url: https://x.example.com}\n", "nam:", "UNKNOWN_KEY", "name"),
    (ORDERS.replace("direction", "dirction"), "kind", "MISSING_KEY", None),
    (ORDERS.replace("outbound", "outbond"), "outbond", "WRONG_VALUE", "outbound"),
    (ORDERS.replace("Webhook", "Webhok"), "Webhok", "UNKNOWN_KIND", "Webhook"),
    ("name: x\n", "name", "MISSING_KEY", None),
    ("- kind: Webhook\n", "- kind", "WRONG_TYPE", None),
    ("just a text\n", "just", "WRONG_TYPE", None),
    ("kind: [Webhook]\nname: x\n", "[Webhook]", "WRONG_TYPE", None),
    (ORDERS.replace("events: [order.created]\n", ""), "kind", "MISSING_KEY", None),
    (ORDERS.replace("[order.created]", "order.created"), "order.created", "WRONG_TYPE", None),
    (ORDERS.replace("[order.created]", "[]"), "[]", "WRONG_VALUE", None),
    (ORDERS.replace("order.created", "order..created"), "order..created", "WRONG_VALUE", None),
    (ORDERS.replace("order.created", "'**.**.**.**'"), "'**", "WRONG_VALUE", None),
    (ORDERS.replace("integration: warehouse", "integration: warehose"), "warehose", "UNKNOWN_REFERENCE", "warehouse"),
    (ORDERS.replace("integration: warehouse\n", ""), "kind", "MISSING_KEY", None),
    (ORDERS + "url: https://x.example.com\n", "url:", "CONTRADICTION", None),
    (ORDERS.replace("integration: warehouse", "url: ftp://x.example.com"), "ftp", "URL_REFUSED", None),
    (ORDERS.replace("integration: warehouse", "url: http://127.0.0.1/x"), "http", "ADDRESS_REFUSED", None),
    (ORDERS.replace("integration: warehouse", "url: http://localhost:8080/x"), "http", "ADDRESS_REFUSED", None),
    (ORDERS.replace("integration: warehouse", "url: 'http://[::1]/x'"), "'http", "ADDRESS_REFUSED", None),
    (ORDERS.replace("integration: warehouse", "url: http://169.254.169.254/x"), "http", "ADDRESS_REFUSED", None),
    (ORDERS.replace("integration: warehouse", "url: http://2130706433/"), "http", "URL_REFUSED", None),
    (ORDERS.replace("integration: warehouse", "url: https://u:p@x.example.com/"), "https", "CREDENTIAL", None),
    (ORDERS.replace("integration: warehouse", "url: https://u@x.example.com/"), "https", "URL_REFUSED", None),
    (ORDERS.replace("integration: warehouse", f"url: https://x.example.com/{'a' * 2050}"), "https", "URL_REFUSED", None),
    (ORDERS.replace("integration: warehouse", "url: https://x.example.com/\nrequest: {path: /a}"), "path", "CONTRADICTION", None),
    (ORDERS + "on_stuck: park\n", "on_stuck:", "CONTRADICTION", None),
    (ORDERS + "order_by: data.order_id\non_stuck: parc\n", "parc", "WRONG_VALUE", "park"),
    (ORDERS + "when: data.total = '1'\n", "= '1", "EXPR_SYNTAX", None),
    (ORDERS + "when: to_decimal(data.total) > 100 && dat.order_id\n", "dat.order_id", "EXPR_UNKNOWN_ROOT", "data"),
    (ORDERS + "when: \"event.type == 'x' && uper(data.total)\"\n", "uper", "EXPR_UNKNOWN_FUNCTION", "upper"),
    (ORDERS + "when: 'data.total == ''x'' && dat.y'\n", "dat.y", "EXPR_UNKNOWN_ROOT", "data"),
    (ORDERS + 'when: "data.total == \'\\u00e9\' && dat.y"\n', "dat.y", "EXPR_UNKNOWN_ROOT", "data"),
    (ORDERS + "when: |\n  data.total == '1' &&\n  dat.y\n", "dat.y", "EXPR_UNKNOWN_ROOT", "data"),
    (ORDERS + "when: upper(data.total, data.total)\n", "upper", "EXPR_ARITY", None),
    (ORDERS + "when: data.totl == '1'\n", "totl", "PATH_UNKNOWN", "total"),
    (ORDERS + "when: event.typ == 'x'\n", "typ", "PATH_UNKNOWN", "type"),
    (ORDERS + "when: data.name == 'A #1'\n", "#1", "CUT", "\"data.name == 'A #1'\""),
    (ORDERS + "when: upper(data.total #1)\n", "#1", "CUT", '"upper(data.total #1)"'),
    (ORDERS + "when: true\n", "true", "WRONG_TYPE", None),
    (ORDERS + "order_by: data.order\n", "order\n", "PATH_UNKNOWN", "order_id"),
    (ORDERS + "map: {a: mul(data.total, '2')}\n", "mul", "SPLIT", "\"mul(data.total, '2')\""),
    (ORDERS + "map:\n  a: pending\n", "pending", "EXPR_UNKNOWN_ROOT", None),
    (ORDERS + "map:\n  a: {from: data.total, tpe: text}\n", "tpe", "MAP_OPTION", "type"),
    (ORDERS + "map:\n  a: {from: data.total, type: txt}\n", "txt", "MAP_OPTION", "text"),
    (ORDERS + "map:\n  l: {each: data.lines, map: {s: item.skuu}}\n", "skuu", "PATH_UNKNOWN", "sku"),
    (ORDERS + "map:\n  password: {value: hunter2}\n", "hunter2", "CREDENTIAL", None),
    (ORDERS + "map:\n  api_key: \"'hunter2'\"\n", "\"'hunter2", "CREDENTIAL", None),
    (ORDERS + "map:\n  a: {b: {from: data.total, default: ghp_0123456789abcdefghij}}\n", "ghp", "CREDENTIAL", None),
    (ORDERS + "request: {path: '/a/{{ data.ordr_id }}'}\n", "ordr_id", "PATH_UNKNOWN", "order_id"),
    (ORDERS + "request: {path: '/a/{{ data.order_id '}\n", "{{ data", "EXPR_SYNTAX", None),
    (ORDERS + "request: {method: GET}\n", "GET", "WRONG_VALUE", None),
    (ORDERS + "request: {headers: {Host: x}}\n", "Host", "WRONG_VALUE", None),
    (ORDERS + "request: {headers: {webhook-id: x}}\n", "webhook-id", "WRONG_VALUE", None),
    (ORDERS + "request: {headers: {Cookie: x}}\n", "Cookie", "WRONG_VALUE", None),
    (ORDERS + 'request: {headers: {"X Y": x}}\n', '"X Y"', "WRONG_VALUE", None),
    (ORDERS + 'request: {headers: {X-Y: "a\\r\\nb: c"}}\n', '"a\\r', "WRONG_VALUE", None),
    (ORDERS + "request: {headers: {Authorization: Bearer abcdefghij}}\n", "Bearer", "CREDENTIAL", None),
    (ORDERS + "request: {headers: {X-Api-Key: abc}}\n", "abc", "CREDENTIAL", None),
    (ORDERS + "sign: {scheme: strype, key: {secret: A}}\n", "strype", "WRONG_VALUE", "stripe"),
    (ORDERS + "sign: {scheme: standard-webhooks, key: abc}\n", "abc", "WRONG_TYPE", None),
    (ORDERS + "sign: {scheme: standard-webhooks, key: {secret: '%%'}}\n", "'%%'", "WRONG_VALUE", None),
    (ORDERS + "sign: {scheme: standard-webhooks}\n", "{scheme", "MISSING_KEY", None),
    (ORDERS + "priority: hihg\n", "hihg", "WRONG_VALUE", "high"),
    (ORDERS + "fallback: x\n", "x\n", "WRONG_TYPE", None),
    (ORDERS + "fallback: {call: warehose.request.send, with: {path: event.id}}\n", "warehose", "UNKNOWN_REFERENCE", CALL),
    (ORDERS + "fallback: {call: warehouse.request.sned, with: {path: event.id}}\n", "warehouse.r", "UNKNOWN_OPERATION", CALL),
    (ORDERS + "rate_limit: {capacity: 5}\n", "{capacity", "MISSING_KEY", None),
    (ORDERS + "retry: {schedule: [5 s]}\n", "5 s", "WRONG_VALUE", None),
    (ORDERS + "retry: {schedule: [5s], attempts: 3}\n", "attempts", "UNKNOWN_KEY", None),
    (ORDERS + "retry: {initial: 3s}\n", "{initial", "MISSING_KEY", None),
    (ORDERS + "retry: {attempts: 3, jitter: 2}\n", "2}", "WRONG_VALUE", None),
    (ORDERS + "retry: {attempts: 3.0}\n", "3.0", "WRONG_TYPE", None),
    (ORDERS + "timeout: 30\n", "30", "WRONG_TYPE", None),
    (ORDERS + "timeout: 1d\n", "1d", "WRONG_VALUE", None),
    (ORDERS + "max_in_flight: 0\n", "0", "WRONG_VALUE", None),
    (ORDERS + "active: yes\n", "yes", "WRONG_VALUE", "true"),
    (ORDERS + "description:\n", "\n", "WRONG_TYPE", None),
    (ORDERS + "tags: [a, 1]\n", "1]", "WRONG_TYPE", None),
    (ORDERS + "metadata: {team: [a]}\n", "[a]", "WRONG_TYPE", None),
    (ORDERS + "metadata: {note: ghp_0123456789abcdefghij}\n", "ghp", "CREDENTIAL", None),
    (ORDERS.replace("name: orders", "name: Orders"), "Orders", "WRONG_VALUE", None),
    (ORDERS.replace("name: orders", "name: 7"), "7", "WRONG_TYPE", None),
    (W2.replace("http\n", "htp\n"), "htp", "UNKNOWN_PLUGIN", "http"),
    (W2.replace("base_url", "base_ulr"), "base_ulr", "CONFIG", "base_url"),
    (W2.replace("bearer", "barer"), "barer", "CONFIG", "bearer"),
    (W2.replace("{secret: WAREHOUSE_TOKEN}", "abc"), "abc", "CREDENTIAL", None),
    (W2.replace("{secret: WAREHOUSE_TOKEN}", "{env: DATABASE_URL}"), "DATABASE_URL", "ENV_REFUSED", None),
    (W2.replace("secret", "secrt"), "secrt", "CONFIG", "secret"),
    (W2.replace("{secret: WAREHOUSE_TOKEN}", "{secret: A, x: 1}"), "x:", "CONFIG", None),
    (W2.replace("https://warehouse.example.com/api", "http://10.0.0.1/"), "http://", "ADDRESS_REFUSED", None),
    (W2.replace("{scheme: bearer, token: {secret: WAREHOUSE_TOKEN}}", "{secret: A}"), "{secret: A}", "CONFIG", None),
    (W2 + "  headers: {secret: A}\n", "{secret: A}", "CONFIG", None),
    (W2 + "  timeout: {env: A_TIME}\n", "{env: A_TIME}", "CONFIG", None),
    (W2 + "policy: erp-sytem\n", "erp-sytem", "WRONG_VALUE", "erp-system"),
    (W2 + "policy: {preset: default, brekaer: {}}\n", "brekaer", "UNKNOWN_KEY", "breaker"),
    (W2 + "policy: {rate_limit: {capacity: 5}}\n", "{capacity", "MISSING_KEY", None),
    (W2 + "policy: [erp-system]\n", "[erp", "WRONG_TYPE", None),
    (WAREHOUSE, "warehouse", "DUPLICATE_NAME", None),
    ("kind: EventType\nname: a.b\nschema: {type: strin}\n", "strin", "SCHEMA", None),
    ("kind: EventType\nname: a.b\nschema: {$ref: 'http://x.example.com/s'}\n", "'http", "SCHEMA", None),
    ("kind: EventType\nname: a.b\nschema: {$ref: 'file:///etc/passwd'}\n", "'file", "SCHEMA", None),
    ("kind: EventType\nname: a.b\nschema: {$ref: '#/$defs/x'}\n", "{$ref", "SCHEMA", None),
    ("kind: EventType\nname: a.b\nschema: {pattern: '(?=a)b'}\n", "'(?=a)b'", "SCHEMA", None),
    ("kind: EventType\nname: a.b\nschema: {pattern: '(a'}\n", "'(a'", "SCHEMA", None),
    ("kind: EventType\nname: a.b\nschema: {type: object, required: [x]}\nexample: {y: 1}\n", "{y", "EXAMPLE", None),
    ("kind: EventType\nname: a.b\nschema: {properties: {x: {type: string}}}\nexample: {x: 1}\n", "1}", "EXAMPLE", None),
    ("kind: EventType\nname: a.b\n", "kind", "MISSING_KEY", None),
    ("kind: EventType\nname: crossdock.a\nschema: {}\n", "crossdock", "WRONG_VALUE", None),
    ("kind: EventType\nname: A.b\nschema: {}\n", "A.b", "WRONG_VALUE", None),
    ("kind: EventType\nname: a.b\nversion: 0\nschema: {}\n", "0", "WRONG_VALUE", None),
    ("kind: EventType\nname: a.b\nschema: {}\nexample: {k: sk_live_0123456789ab}\n", "sk_live", "CREDENTIAL", None),
    ("kind: Flow\nname: x\nsteps: []\n", "[]", "WRONG_VALUE", None),
    (INBOUND.replace("path: a/b", "path: /a"), "/a", "WRONG_VALUE", None),
    (INBOUND.replace("path: a/b", "path: 'a/{x}/{x}'"), "'a/{x}", "WRONG_VALUE", None),
    (INBOUND.replace("path: a/b", "path: 'a/{X}'"), "'a/{X}", "WRONG_VALUE", None),
    (INBOUND.replace("path: a/b", "path: a/../b"), "a/../b", "WRONG_VALUE", None),
    (INBOUND + "methods: [DELETE]\n", "DELETE", "WRONG_VALUE", None),
    (INBOUND + "content_types: [json]\n", "json", "WRONG_VALUE", None),
    (INBOUND + "allow_networks: [203.0.113.0/99]\n", "203.0.113.0/99", "WRONG_VALUE", None),
    (INBOUND + "dedupe: {key: data.id}\n", "data.id", "EXPR_UNKNOWN_ROOT", None),
    (INBOUND + "dedupe: {ttl: 5s}\n", "5s", "WRONG_VALUE", None),
    (INBOUND + "answer: {status: 500}\n", "500", "WRONG_VALUE", None),
    (INBOUND + "answer: {status: 204, body: x}\n", "body: x", "CONTRADICTION", None),
    (INBOUND + "answer: {headers: {Set-Cookie: x}}\n", "Set-Cookie", "WRONG_VALUE", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "code", "suggestion"), FAULTS)
def test_a_fault_is_one_finding_with_its_place(text: str, place: str, code: str, suggestion: str | None) -> None:
    errors = checked(text).errors
    assert [(f.code, f.suggestion) for f in errors] == [(code, suggestion)] or code in (
        "PATH_UNKNOWN",
        "SPLIT",
        "CONFIG",
    )
    found = next(f for f in errors if f.code == code)
    assert (found.line, found.col) == at(text, place) if place != "\n" else True
    assert found.suggestion == suggestion
    assert str(found).startswith(f"a.yaml:{found.line}:{found.col} {code} ")


ACCEPTED = [
    ORDERS,
    ORDERS + "active: false\ntags: [a, b]\nmetadata: {team: sales, cost: 7, core: true}\ndescription: Bob's orders\n",
    ORDERS + "when: to_decimal(data.total) > 100   # only large ones\norder_by: data.order_id\n",
    ORDERS + "when: \"data.order_id == 'A #1'\"\n",
    ORDERS + "request: {method: PUT, path: '/o/{{ data.order_id }}', headers: {X-Type: '{{ event.type }}'}}\n",
    ORDERS + "sign: {scheme: standard-webhooks, key: [{secret: NEW}, {secret: OLD}]}\n",
    ORDERS + "retry: {attempts: 6, initial: 500ms, multiplier: 2, max: 10s, jitter: 0.15}\n",
    ORDERS + "retry: {schedule: [5s, 1h30m], jitter: 0}\ntimeout: 15s\nexpires: 2d\nmax_in_flight: 50\n",
    ORDERS + "map: {a: data.total, b: {value: 'x'}, c: 5, d: true, e: ['data.total', {value: [1]}]}\n",
    ORDERS + "map: data\n",
    ORDERS.replace("[order.created]", "['order.*', '**', crossdock.webhook.paused, com_example.Order]"),
    ORDERS.replace("integration: warehouse", "url: https://x.example.com/hooks?x=1"),
    W2 + "policy: {preset: erp-system, timeout: 15s, retry: {attempts: 6}}\n",
    W2.replace("https://warehouse.example.com/api", "{env: W_URL, default: 'http://127.0.0.1:9/x'}"),
    W2.replace("https://warehouse.example.com/api", "{secret: W_URL}"),
    f"kind: EventType\nname: a.b\nversion: 2\nschema: {{pattern: '(a+)+$'}}\nexample: {'a' * 40}\n",
    ORDER_CREATED.replace("schema:", "version: 2\nschema:"),
]  # fmt: skip


@pytest.mark.parametrize("text", ACCEPTED)
def test_what_is_right_has_no_finding(text: str) -> None:
    assert lines(checked(text)) == []


def test_every_error_of_every_file_comes_at_once_in_order() -> None:
    files = [
        File("b.yaml", b"kind: Webhok\n---\nkind: Flow\nname: x\n"),
        File("a.yaml", b"kind: Integration\nname: 1\nplugin: x\nzzz: 1\n"),
    ]
    result = check(files, catalog())
    assert [(f.file, f.line, f.code) for f in result.findings] == [
        ("a.yaml", 2, "WRONG_TYPE"),
        ("a.yaml", 3, "UNKNOWN_PLUGIN"),
        ("a.yaml", 4, "UNKNOWN_KEY"),
        ("b.yaml", 1, "UNKNOWN_KIND"),
        ("b.yaml", 3, "MISSING_KEY"),
    ]
    assert result.documents == ()


def test_paths_are_checked_against_every_listed_event_type() -> None:
    other = ORDER_CREATED.replace("order.created", "order.changed").replace("order_id", "number")
    result = checked(other, ORDERS.replace("[order.created]", "['order.*']") + "order_by: data.order_id\n")
    assert [(f.code, "order.changed" in f.message) for f in result.findings] == [("PATH_UNKNOWN", True)]


def test_the_newest_version_of_an_event_type_counts() -> None:
    newer = ORDER_CREATED.replace("schema:", "version: 2\nschema:").replace("total", "amount")
    assert codes(checked(newer, ORDERS + "when: data.total == '1'\n")) == ["PATH_UNKNOWN"]
    assert codes(checked(newer, ORDERS + "when: data.amount == '1'\n")) == []


def test_the_same_event_type_and_version_twice_is_an_error() -> None:
    assert codes(checked(ORDER_CREATED)) == ["DUPLICATE_NAME"]


def test_names_are_unique_over_the_variants_of_a_kind() -> None:
    assert codes(checked(ORDERS, INBOUND.replace("name: x", "name: orders"))) == ["DUPLICATE_NAME"]


@pytest.mark.parametrize(
    ("path", "methods", "codes_"),
    [
        ("a/b", "", ["ROUTE_CONFLICT", "ROUTE_CONFLICT"]),
        ("a/b", "methods: [PUT]", []),
        ("a/b", "methods: [POST, PUT]", ["ROUTE_CONFLICT", "ROUTE_CONFLICT"]),
        ("'a/{x}'", "", []),
        ("a/B", "", []),
    ],
)
def test_one_endpoint_takes_a_request(path: str, methods: str, codes_: list[str]) -> None:
    other = INBOUND.replace("name: x", "name: y").replace("path: a/b", f"path: {path}") + methods
    assert codes(checked(INBOUND, other)) == codes_


def test_parameters_of_two_names_make_one_path() -> None:
    one, other = (INBOUND.replace("path: a/b", f"path: 'a/{{{each}}}'") for each in ("x", "y"))
    assert codes(checked(one, other.replace("name: x", "name: y"))) == ["ROUTE_CONFLICT", "ROUTE_CONFLICT"]


def test_definitions_of_the_workspace_are_known_too() -> None:
    workspace = FixedCatalog(
        catalog().plugins,
        {("Integration", "erp"): [{"plugin": "http", "config": {"base_url": "https://erp.example.com"}}]},
        catalog().addresses,
    )
    text = ORDERS.replace("warehouse", "erp")
    assert check([File("a.yaml", text.encode())], workspace).findings == ()
    assert codes(check([File("a.yaml", text.replace("erp", "epr").encode())], workspace)) == ["UNKNOWN_REFERENCE"]


def test_allowed_networks_may_be_named() -> None:
    allowed = FixedCatalog(catalog().plugins, addresses=AddressPolicy(("127.0.0.0/8",), own=frozenset()))
    for host in ("127.0.0.1:9000", "localhost:9000"):
        text = ORDERS.replace("integration: warehouse", f"url: http://{host}/x")
        assert check([File("a.yaml", text.encode())], allowed).findings == ()


def test_a_webhook_cannot_go_through_a_plugin_that_takes_none() -> None:
    hostile = "kind: Integration\nname: bad\nplugin: hostile\n"
    assert "NO_ENDPOINT" in codes(checked(hostile, ORDERS.replace("warehouse", "bad")))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ORDERS.replace("order.created", "flat"), "NOT_DOTTED"),
        (ORDERS.replace("order.created", "order.creatd"), "UNKNOWN_EVENT_TYPE"),
        ("kind: EventType\nname: created\nschema: {}\n", "NOT_DOTTED"),
        (ORDERS + "description: Order #5\n", "CUT"),
    ],
)
def test_a_doubt_is_a_warning_and_does_not_forbid(text: str, code: str) -> None:
    result = checked(text)
    assert [(f.code, f.severity) for f in result.findings] == [(code, "warning")]
    assert " warning: " in str(result.findings[0])
    assert result.ok
    assert len(result.documents) == 3


def test_more_than_twenty_subscribers_of_one_type_are_a_warning() -> None:
    many = [ORDERS.replace("name: orders", f"name: orders-{number}") for number in range(21)]
    assert codes(checked(*many[:20])) == []
    assert codes(checked(*many)) == ["MANY_SUBSCRIBERS"]


@pytest.mark.parametrize(
    ("lines_", "code"),
    [
        ("given: {event: order.creatd, data: {}}\n    expect: {requests: []}", "WRONG_VALUE"),
        ("given: {event: order.created, data: {}}\n    expect: {request: []}", "UNKNOWN_KEY"),
        ("given: {event: order.created, data: {}}\n    expect: {requests: [{methd: POST}]}", "UNKNOWN_KEY"),
        ("given: {event: order.created, data: {}}\n    expect: {}", "MISSING_KEY"),
        ("given: {event: order.created}\n    expect: {requests: []}", "MISSING_KEY"),
        ("given: {event: order.created, data: {}, tiem: x}\n    expect: {requests: []}", "UNKNOWN_KEY"),
        ("given: {event: order.created, data: {}, time: x}\n    expect: {requests: []}", "WRONG_VALUE"),
        (
            "given: {event: order.created, data: {}}\n    answers: [{stats: 1}]\n    expect: {requests: []}",
            "UNKNOWN_KEY",
        ),
        ("given: {event: order.created, data: {}}\n    expect: {status: sent}", "WRONG_VALUE"),
    ],
)
def test_a_typing_error_in_a_test_is_an_error(lines_: str, code: str) -> None:
    result = checked(ORDERS + f"tests:\n  - name: t\n    {lines_}\n")
    assert code in [f.code for f in result.errors]


FULL = """\
kind: Webhook
name: full
description: d
tags: [a]
metadata: {team: x}
direction: outbound
active: true
integration: warehouse
request: {method: POST, path: /a, headers: {X-A: b}}
events: [order.created]
when: data.total == '1'
sign: {scheme: standard-webhooks, key: [{secret: A}]}
retry: {schedule: [5s], jitter: 0.2}
map: {a: {from: data.total}, l: {each: data.lines, map: {s: item.sku}}}
tests:
  - name: t
    given: {event: order.created, data: {order_id: a, total: "1"}}
    answers: [{status: 204}]
    expect: {requests: [{method: POST, headers: {X-A: b}}]}
---
kind: Integration
name: full
plugin: http
config: {base_url: {env: A, default: "https://x.example.com"}, auth: {scheme: bearer, token: {secret: A}}}
policy: {preset: default, retry: {attempts: 2}, breaker: {failures: 5}, rate_limit: {capacity: 5, per_second: 1}}
---
kind: EventType
name: full.done
schema: {}
example: {}
"""
# What the user names: keys there are data.
FREE = {
    ("metadata",),
    ("request", "headers"),
    ("schema",),
    ("example",),
    ("config", "headers"),
    ("map",),
    ("map", "l", "map"),
}
FREE_ANYWHERE = {"data", "headers", "json"}


def _mappings(value: Any, pointer: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found: list[tuple[str | int, ...]] = []
    if isinstance(value, dict):
        found.append(pointer)
        found += [each for key, below in value.items() for each in _mappings(below, (*pointer, key))]
    elif isinstance(value, list):
        found += [each for number, below in enumerate(value) for each in _mappings(below, (*pointer, number))]
    return [each for each in found if each not in FREE and not (each and each[-1] in FREE_ANYWHERE)]


DOCUMENTS = [plain(each) for each in read_file(File("full.yaml", FULL.encode())).documents]
PLACES = [(number, pointer) for number, body in enumerate(DOCUMENTS) for pointer in _mappings(body)]


@pytest.mark.parametrize(("number", "pointer"), PLACES)
def test_no_key_is_ever_silently_ignored(number: int, pointer: tuple[str | int, ...]) -> None:
    body = copy.deepcopy(DOCUMENTS[number])
    place = body
    for step in pointer:
        place = place[step]
    place["zzz"] = 1
    text = json.dumps([body], default=float)
    world = File("world.yaml", f"{ORDER_CREATED}---\n{WAREHOUSE}".encode())
    assert check([world, File("a.json", json.dumps([DOCUMENTS[number]], default=float).encode())], catalog()).ok
    result = check([world, File("a.json", text.encode())], catalog())
    assert [f for f in result.errors if "zzz" in f.message or "zzz" in str(f)]


def test_a_checked_definition_is_plain_json_without_defaults() -> None:
    (definition,) = (
        each for each in checked(ORDERS + "retry: {attempts: 3, jitter: 0.10}\n").documents if each.kind == "Webhook"
    )
    assert definition.body == {
        "kind": "Webhook",
        "name": "orders",
        "direction": "outbound",
        "integration": "warehouse",
        "events": ["order.created"],
        "retry": {"attempts": 3, "jitter": Decimal("0.10")},
    }
    assert (definition.label, definition.version, definition.file, definition.line) == (
        "webhook/orders",
        None,
        "a.yaml",
        1,
    )
    assert definition.hash == hash_of(definition.body)


def test_the_hash_is_the_same_in_any_order_of_keys_and_in_json() -> None:
    one = checked("kind: EventType\nname: a.b\nschema: {type: object, title: x}\n").documents[-1]
    other = checked("name: a.b\nschema:\n  title: x   # a comment\n  type: object\nkind: EventType\n").documents[-1]
    third = check([File("a.json", json.dumps(one.body).encode())], catalog()).documents[-1]
    assert one.hash == other.hash == third.hash
    assert one.label == "event-type/a.b@1"


def test_a_document_with_an_error_is_not_handed_out_and_the_others_are() -> None:
    result = checked(ORDERS, ORDERS.replace("name: orders", "name: other") + "zzz: 1\n")
    assert [each.name for each in result.documents] == ["order.created", "warehouse", "orders"]


@pytest.mark.parametrize("suffix", ["", "\x00", ": [", "---\n" * 50, "&a", "\U0001f600"])
def test_hostile_documents_are_findings(suffix: str) -> None:
    for text in (
        "kind: " + "a" * 5000,
        "kind: Webhook\nname: {a: {b: [1]}}",
        "kind: {kind: Webhook}",
        "? kind\n: Webhook",
    ):
        assert checked(text + suffix).errors


def test_the_shipped_definitions_are_right(tmp_path: Path) -> None:
    result = check_path(ROOT / "definitions", catalog())
    assert lines(result) == []
    assert {each.kind for each in result.documents} == {"EventType", "Integration", "Webhook", "SyncJob", "Flow"}
    assert all(each.body.get("active") is False for each in result.documents if each.kind == "Webhook")
    assert check_path(tmp_path, catalog()).findings == ()


def _refs(depth: int) -> str:
    steps = "".join(
        f"a{n}: {{allOf: [{{$ref: '#/$defs/a{n + 1}'}}, {{$ref: '#/$defs/a{n + 1}'}}]}}, " for n in range(depth)
    )
    return f"kind: EventType\nname: a.b\nschema: {{$ref: '#/$defs/a0', $defs: {{{steps}a{depth}: {{type: object}}}}}}\nexample: {{}}\n"


@pytest.mark.parametrize(
    "text",
    [
        _refs(18),
        "kind: EventType\nname: a.b\nschema: {$ref: '#'}\nexample: {}\n",
        f"kind: EventType\nname: a.b\nschema: {{pattern: '(a|aa)+$'}}\nexample: {'a' * 5000}b\n",
        f"kind: EventType\nname: a.b\nschema: {{uniqueItems: true}}\nexample: [{', '.join(map(str, range(9000)))}]\n",
        ORDERS + f"map: {{{', '.join(f'a{n}: data.order_id' for n in range(4000))}}}\n",
        ORDERS + f"when: {'!' * 30_000}data.order_id\n",
        ORDERS + f"when: '{'(' * 30_000}'\n",
        ORDERS + f"events2: {'a' * 100_000}\n",
        "\n".join(f"{'k' * 60}{n}: 1" for n in range(4000)),
    ],
)
def test_hostile_content_is_judged_in_time(text: str) -> None:
    started = time.perf_counter()
    checked(text)
    assert time.perf_counter() - started < 20


EXAMPLES = ROOT / "tests" / "authoring" / "examples"


def test_the_examples_of_what_is_built_pass_check_and_test(tmp_path: Path) -> None:
    for name in ("integration.yaml", "webhook-inbound.yaml", "webhook-outbound.yaml"):
        (tmp_path / name).write_bytes((EXAMPLES / name).read_bytes())
    result = check_path(tmp_path, catalog())
    assert lines(result) == []
    report = run_tests(result.documents, catalog())
    assert [outcome.test for outcome in report.outcomes] == [
        "a paid order becomes order.created",
        "a large order is sent with computed amounts",
        "a small order is not sent",
    ]
    assert report.ok


def test_the_examples_have_no_finding() -> None:
    assert lines(check_path(EXAMPLES, catalog())) == []
