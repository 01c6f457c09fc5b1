"""What `check` says of flows: each fault at its place, and nothing of what is right."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from server.authoring.check import check
from server.documents.catalog import FixedCatalog, OperationFacts, PluginFacts
from server.documents.reading import File

if TYPE_CHECKING:
    from server.authoring.check import CheckResult

ORDER = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "order_id": {"type": "string"},
        "items": {
            "type": "array",
            "items": {"type": "object", "additionalProperties": False, "properties": {"sku": {"type": "string"}}},
        },
    },
}
NEEDS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["deal_id"],
    "properties": {"deal_id": {"type": "string"}, "lines": {"type": "integer"}},
}
FREE = {"type": "object"}
WORLD = """\
kind: Integration
name: erp
plugin: pretend
config: {}
---
kind: Integration
name: other
plugin: pretend
config: {}
---
kind: EventType
name: deal.won
schema: {type: object, additionalProperties: false, required: [deal_id], properties: {deal_id: {type: string}}}
---
kind: Flow
name: child
input: {type: object, required: [order_id]}
steps: [{id: back, when: data.back, flow: parent}]
---
"""
HEAD = "kind: Flow\nname: f\nevents: [deal.won]\nsteps:\n"
CREATE = "  - {id: order, call: erp.orders.create, with: {deal_id: data.deal_id}}\n"


@cache
def catalog() -> FixedCatalog:
    operations = {
        "orders.create": OperationFacts(NEEDS, ORDER),
        "orders.cancel": OperationFacts(FREE, FREE),
        "stock.check": OperationFacts(FREE, {}),
        "stock.forecast": OperationFacts(FREE, {}, supported=False),
    }
    plugin = PluginFacts("pretend", FREE, operations, transactions=False)
    return FixedCatalog(plugins={"pretend": plugin})


def checked(text: str) -> CheckResult:
    world = WORLD.replace("flow: parent", "flow: gone")  # a finding of the world's, that is left out
    return check([File("world.yaml", world.encode()), File("f.yaml", text.encode())], catalog())


def found(text: str) -> list[tuple[str, str | None]]:
    """Return code and suggestion of each finding in the flow itself."""
    return [(each.code, each.suggestion) for each in checked(text).findings if each.file == "f.yaml"]


RIGHT = [
    HEAD + CREATE,
    HEAD + CREATE + "  - {id: x, for_each: steps.order.items, call: erp.stock.check, with: {sku: item.sku}, limit: 8}\n",
    HEAD + CREATE + "  - {id: x, for_each: steps.order.items, steps: [{id: y, set: {sku: item.sku}}, {id: z, set: {s: steps.y.sku}}]}\n"
    "  - {id: all, set: {first: 'steps.x[0].y.sku'}}\n",
    HEAD + "  - id: order\n    call: erp.orders.create\n    with: {deal_id: data.deal_id}\n"
    "    undo: {call: erp.orders.cancel, with: {order_id: result.order_id}, retry: {attempts: 9}}\n",
    HEAD + "  - {id: p, parallel: {a: [{id: one, set: {x: 1}}], b: [{id: two, sleep: 5s}]}}\n"
    "  - {id: s, set: {y: steps.one.x, z: steps.p.a.one.x}}\n",
    HEAD + "  - id: c\n    choose:\n      - {when: data.deal_id == 'x', steps: [{id: one, set: {x: 1}}]}\n"
    "      - {steps: [{id: two, set: {y: 2}}]}\n"
    "  - {id: s, set: {y: steps.one.x, z: steps.two.y}}\n",
    HEAD + "  - {id: w, wait_for: {event: deal.won, where: arrived.data.deal_id == data.deal_id, count: 2, timeout: 3d}}\n"
    "  - {id: s, set: {id: steps.w.data.deal_id, n: steps.w.count, all: 'steps.w.events[*].id'}}\n",
    HEAD + "  - {id: ok, approve: {message: 'Ship {{ data.deal_id }}?', roles: [editor]}}\n  - {id: s, set: {by: steps.ok.by}}\n",
    HEAD + "  - {id: e, emit: {type: deal.won, data: {deal_id: data.deal_id}}}\n  - {id: s, set: {by: steps.e.id}}\n",
    HEAD + CREATE.replace("}}", "}, on_error: {call: erp.stock.check, with: {why: error.code}}}"),
    HEAD + "  - {id: s, sleep: {until: data.deal_id}, on_error: continue}\n",
    ("kind: Flow\nname: f\ninput: {type: object, properties: {n: {type: integer}}}\n"
    "steps: [{id: s, set: {n: data.n}}]\noutput: {n: steps.s.n}\n"),
]  # fmt: skip


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_right_has_no_finding(text: str) -> None:
    assert [str(each) for each in checked(text).findings if each.file == "f.yaml"] == []


def test_a_call_that_this_erp_refuses_whatever_comes_is_a_doubt_unless_the_flow_says_what_follows() -> None:
    step = "  - {id: x, call: erp.stock.forecast, with: {}}\n"
    [doubt] = [each for each in checked(HEAD + step).findings if each.file == "f.yaml"]
    assert (doubt.code, doubt.severity) == ("NOT_SUPPORTED_HERE", "warning")
    assert found(HEAD + step.replace("{}}", "{}, on_error: continue}")) == []


WRONG: list[tuple[str, str, str | None]] = [
    ("  - {id: a, cal: erp.orders.create}\n", "UNKNOWN_KEY", "call"),
    ("  - {id: a}\n", "MISSING_KEY", None),
    ("  - {id: a, set: {x: 1}, sleep: 5s}\n", "CONTRADICTION", None),
    ("  - {id: A, set: {x: 1}}\n", "WRONG_VALUE", None),
    ("  - {set: {x: 1}}\n", "MISSING_KEY", None),
    ("  - {id: a, set: {x: 1}}\n  - {id: a, set: {x: 1}}\n", "DUPLICATE_STEP", None),
    ("  - {id: a, set: {from: 1}}\n", "WRONG_VALUE", None),
    ("  - {id: a, call: erp.orders.creat, with: {}}\n", "UNKNOWN_OPERATION", "erp.orders.create"),
    ("  - {id: a, call: epr.orders.create, with: {}}\n", "UNKNOWN_REFERENCE", "erp.orders.create"),
    ("  - {id: a, call: erp.orders.create}\n", "MISSING_KEY", None),
    ("  - {id: a, call: erp.orders.create, with: {lines: 2}}\n", "MISSING_KEY", None),
    ("  - {id: a, call: erp.orders.create, with: {deal_id: data.deal_id, line: 2}}\n", "UNKNOWN_KEY", "lines"),
    ("  - {id: a, call: erp.orders.create, with: {deal_id: {value: 5}}}\n", "STEP_DATA", None),
    ("  - {id: a, call: erp.orders.create, with: {deal_id: data.dael_id}}\n", "PATH_UNKNOWN", "deal_id"),
    (CREATE + "  - {id: a, set: {x: steps.ordr.order_id}}\n", "PATH_UNKNOWN", "order"),
    (CREATE + "  - {id: a, set: {x: steps.order.order}}\n", "PATH_UNKNOWN", "order_id"),
    ("  - {id: a, set: {x: steps.order.order_id}}\n" + CREATE, "PATH_UNKNOWN", None),
    (CREATE + "  - {id: x, for_each: steps.order.items, call: erp.stock.check, with: {sku: item.sko}}\n", "PATH_UNKNOWN", "sku"),
    ("  - {id: a, set: {x: item.sku}}\n", "EXPR_UNKNOWN_ROOT", None),
    ("  - {id: a, set: {x: result.id}}\n", "EXPR_UNKNOWN_ROOT", None),
    ("  - {id: a, set: {x: pending}}\n", "EXPR_UNKNOWN_ROOT", None),
    ("  - {id: p, parallel: {a: [{id: one, set: {x: 1}}]}}\n", "WRONG_VALUE", None),
    ("  - {id: p, parallel: {a: [{id: one, set: {x: 1}}], b: [{id: two, set: {x: steps.one.x}}]}}\n", "PATH_UNKNOWN", None),
    ("  - {id: c, choose: [{steps: [{id: one, set: {x: 1}}]}, {steps: [{id: two, set: {x: 1}}]}]}\n", "CONTRADICTION", None),
    ("  - {id: w, wait_for: {event: deal.wn}}\n", "UNKNOWN_EVENT_TYPE", "deal.won"),
    ("  - {id: w, wait_for: {event: 'deal.*'}}\n", "WRONG_VALUE", None),
    ("  - {id: w, wait_for: {event: deal.won, where: arrived.data.dealid == data.deal_id}}\n", "PATH_UNKNOWN", "deal_id"),
    ("  - {id: e, emit: {type: deal.won, data: {deal: data.deal_id}}}\n", "UNKNOWN_KEY", "deal_id"),
    ("  - {id: e, emit: {type: crossdock.x.y}}\n", "WRONG_VALUE", None),
    ("  - {id: e, emit: {type: deal.won, version: 3, data: {deal_id: data.deal_id}}}\n", "WRONG_VALUE", None),
    ("  - {id: a, flow: chld}\n", "UNKNOWN_REFERENCE", "child"),
    ("  - {id: a, flow: child, with: {x: 1}}\n", "MISSING_KEY", None),
    ("  - {id: a, flow: f}\n", "FLOW_CYCLE", None),
    ("  - {id: t, atomic: [{id: a, call: erp.stock.check}]}\n", "NOT_TRANSACTIONAL", None),
    ("  - {id: a, call: erp.stock.check, limit: 3}\n", "UNKNOWN_KEY", None),
    ("  - {id: a, sleep: 5s, retry: {attempts: 3}}\n", "UNKNOWN_KEY", None),
    ("  - {id: a, sleep: 5s, on_error: stop}\n", "WRONG_VALUE", None),
    ("  - {id: a, approve: {message: x, roles: [viewer]}}\n", "WRONG_VALUE", None),
    ("  - {id: a, set: {x: 1}}\ntests: [{name: n, given: {data: 1}, answers: {b: 1}, expect: {status: completed}}]\n", "WRONG_VALUE", None),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "code", "suggestion"), WRONG)
def test_a_fault_is_found(steps: str, code: str, suggestion: str | None) -> None:
    codes: dict[str, Any] = dict(found(HEAD + steps))
    assert code in codes, codes
    assert suggestion is None or codes[code] == suggestion


def test_flows_that_start_each_other_in_a_circle_are_found() -> None:
    text = "kind: Flow\nname: parent\nsteps: [{id: a, flow: child, with: {order_id: data.x}}]\n"
    result = check([File("world.yaml", WORLD.encode()), File("f.yaml", text.encode())], catalog())
    assert [(each.code, each.file) for each in result.findings] == [
        ("FLOW_CYCLE", "f.yaml"),
        ("FLOW_CYCLE", "world.yaml"),
    ]


def test_nested_steps_count() -> None:
    block = "  - {id: b%d, for_each: data.list, steps: [%s]}\n"
    inner = ", ".join("{id: s%d_%d, sleep: 5s}" for _ in range(50))
    steps = "".join(
        block % (number, inner % tuple(n for each in range(50) for n in (number, each))) for number in range(4)
    )
    text = "kind: Flow\nname: f\nsteps:\n"
    assert ("WRONG_VALUE", None) in found(text + steps)
