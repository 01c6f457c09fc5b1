"""The tests in a flow: played on the core that real runs go by, and told where they differ."""

from __future__ import annotations

from typing import Any

import pytest

from server.authoring.check import check
from server.authoring.testing import test as run_tests
from server.documents.reading import File
from tests.flows.test_check import WORLD, catalog

FLOW = """\
kind: Flow
name: f
events: [deal.won]
idempotency_key: data.deal_id
steps:
{steps}
{more}
tests:
  - name: t
    given: {given}
    {test}
"""
GIVEN = "{event: deal.won, data: {deal_id: D-1}}"
UNDO = "undo: {call: erp.orders.cancel, with: {order_id: result.order_id}}"
ORDER = f"  - {{id: order, call: erp.orders.create, with: {{deal_id: data.deal_id}}, {UNDO}}}\n"


def played(steps: str, test: str, given: str = GIVEN, more: str = "") -> list[str]:
    """Return the differences that the one test finds."""
    text = FLOW.format(steps=steps, test="\n    ".join(test.strip().split("\n")), given=given, more=more)
    files = [File("world.yaml", WORLD.replace("flow: parent", "sleep: 5s").encode()), File("f.yaml", text.encode())]
    result = check(files, catalog())
    assert [str(each) for each in result.errors] == []
    [outcome] = run_tests(result.documents, catalog()).outcomes
    return list(outcome.differences)


PASSING: list[Any] = [
    pytest.param(
        ORDER,
        "answers: {order: {order_id: SO-1}}\nexpect: {status: completed, calls: [erp.orders.create]}",
        id="a call",
    ),
    pytest.param(
        ORDER + "  - {id: x, for_each: steps.order.items, call: erp.stock.check, with: {sku: item.sku}}",
        "answers: {order: {items: [{sku: a}, {sku: b}]}, x: [{n: 1}, {n: 2}]}\n"
        "expect: {calls: [erp.orders.create, {call: erp.stock.check, with: {sku: a}}, {call: erp.stock.check, with: {sku: b}}],"
        " steps: {x: [{n: 1}, {n: 2}]}}",
        id="items have answers of their own",
    ),
    pytest.param(
        ORDER + "  - {id: x, call: erp.stock.check}",
        "answers: {order: {order_id: SO-1}, x: {error: {code: NO}}}\n"
        "expect: {status: compensated, error: 'NO', calls: [erp.orders.create, erp.stock.check, erp.orders.cancel]}",
        id="what was done is undone",
    ),
    pytest.param(
        ORDER + "  - {id: x, call: erp.stock.check, on_error: fail}",
        "answers: {order: {order_id: SO-1}, x: {error: {}}}\nexpect: {status: failed, calls: [erp.orders.create, erp.stock.check]}",
        id="it may stop",
    ),
    pytest.param(
        "  - {id: x, call: erp.stock.check, on_error: {call: other.stock.check, with: {why: error.code}}}",
        "answers: {x: {error: {code: AWAY}}, x.on_error: {n: 5}}\n"
        "expect: {status: completed, steps: {x: {n: 5}}, calls: [erp.stock.check, {call: other.stock.check, with: {why: AWAY}}]}",
        id="another is called",
    ),
    pytest.param(
        "  - {id: x, call: erp.stock.check, retry: {attempts: 3}}",
        "answers: {x: [{error: {retryable: true}}, {error: {retryable: true}}, {n: 1}]}\n"
        "expect: {status: completed, calls: [erp.stock.check]}",
        id="a repeated call stands once",
    ),
    pytest.param(
        ORDER + "  - {id: x, call: erp.stock.check}",
        "answers: {order: {order_id: SO-1}, x: {error: {}}, order.undo: {error: {code: GONE}}}\nexpect: {status: compensation_failed}",
        id="an undo may fail",
    ),
    pytest.param(
        "  - {id: w, wait_for: {event: deal.won, where: arrived.data.deal_id == data.deal_id, count: 2}}",
        "arrives: [{type: deal.won, data: {deal_id: D-1}}, {type: deal.won, data: {deal_id: D-2}},"
        " {type: deal.won, data: {deal_id: D-1}, after: 3d}]\nexpect: {status: completed}",
        id="events arrive",
    ),
    pytest.param(
        "  - {id: w, wait_for: {event: deal.won, timeout: 1d}}",
        "arrives: [{type: deal.won, data: {deal_id: D-1}, after: 2d}]\nexpect: {status: compensated, error: WAIT_TIMEOUT}",
        id="and may come too late",
    ),
    pytest.param("  - {id: ok, approve: {message: m}}", "expect: {status: waiting}", id="a person has not decided"),
    pytest.param(
        "  - {id: ok, approve: {message: m}}",
        "approvals: {ok: {approved: false, by: anna}}\nexpect: {status: compensated, error: REJECTED}",
        id="a person says no",
    ),
    pytest.param(
        "  - {id: c, flow: child, with: {order_id: data.deal_id}}",
        "answers: {c: {n: 1}}\nexpect: {status: completed, steps: {c: {n: 1}}, calls: [{call: flow/child, with: {order_id: D-1}}]}",
        id="a flow in a flow",
    ),
    pytest.param(
        "  - {id: e, emit: {type: deal.won, subject: data.deal_id, data: {deal_id: data.deal_id}}}",
        "expect: {events: [{type: deal.won, subject: D-1, data: {deal_id: D-1}}]}",
        id="an event",
    ),
    pytest.param(
        "  - {id: s, sleep: 20d}\n  - {id: t, sleep: 20d}",
        "expect: {status: compensated, error: RUN_TIMEOUT}",
        id="time runs",
    ),
    pytest.param(
        "  - {id: p, parallel: {a: [{id: x, call: erp.stock.check}], b: [{id: y, set: {n: 2}}]}}",
        "answers: {x: {n: 1}}\nexpect: {status: completed, steps: {p: {a: {x: {n: 1}}, b: {y: {n: 2}}}}}",
        id="branches",
    ),
]


@pytest.mark.parametrize(("steps", "test"), PASSING)
def test_a_test_passes(steps: str, test: str) -> None:
    assert played(steps, test) == []


def test_a_false_when_starts_nothing() -> None:
    assert played("  - {id: s, sleep: 5s}", "expect: {status: not_started}", more="when: data.deal_id == 'other'") == []


FAILING: list[tuple[str, str, str]] = [
    (ORDER, "answers: {order: {}}\nexpect: {status: failed}", 'status: expected "failed", got "completed"'),
    (ORDER, "expect: {status: completed}", "answers: there is none for order, which is called"),
    (ORDER, "answers: {order: {}}\nexpect: {calls: []}", 'calls[0]: expected nothing, got "erp.orders.create"'),
    (
        ORDER,
        "answers: {order: {}}\nexpect: {calls: [{call: erp.orders.create, with: {deal_id: D-2}}]}",
        'calls[0].with.deal_id: expected "D-2", got "D-1"',
    ),
    (
        "  - {id: x, call: erp.orders.create, with: {deal_id: run.round}}",
        "answers: {x: {}}\nexpect: {status: completed}",
        "the input of erp.orders.create (x): deal_id: ",
    ),
    (
        "  - {id: e, emit: {type: deal.won, data: {deal_id: run.round}}}",
        "expect: {status: completed}",
        "the event deal.won: deal_id: ",
    ),
    (
        "  - {id: x, call: erp.stock.check}",
        "answers: {x: {error: {code: NO, message: never}}}\nexpect: {status: completed}",
        "step x failed: NO never",
    ),
]


@pytest.mark.parametrize(("steps", "test", "said"), FAILING)
def test_a_test_that_fails_says_why(steps: str, test: str, said: str) -> None:
    differences = played(steps, test)
    assert any(each.startswith(said) for each in differences), differences


EACH = (
    "  - {id: x, for_each: steps.order.items, call: erp.stock.check, with: {sku: item.sku}, "
    "on_error: {call: other.stock.check, with: {sku: item.sku, why: error.code}}}"
)
ITEMS = "order: {order_id: SO-1, items: [{sku: a}, {sku: b}]}"


def test_another_is_called_for_the_item_that_failed_and_for_no_other() -> None:
    test = (
        f"answers: {{{ITEMS}, x: [{{n: 1}}, {{error: {{code: AWAY}}}}], x.on_error: {{n: 9}}}}\n"
        "expect: {status: completed, steps: {x: [{n: 1}, {n: 9}]}, calls: [erp.orders.create, "
        "erp.stock.check, erp.stock.check, {call: other.stock.check, with: {sku: b, why: AWAY}}]}"
    )
    assert played(ORDER + EACH, test) == []


def test_where_the_other_fails_too_the_step_has_failed() -> None:
    test = (
        f"answers: {{{ITEMS}, x: {{error: {{code: AWAY}}}}, x.on_error: {{error: {{code: AWAY_TOO}}}}}}\n"
        "expect: {status: compensated, error: AWAY_TOO, calls: [erp.orders.create, erp.stock.check, erp.stock.check, "
        "other.stock.check, other.stock.check, erp.orders.cancel]}"
    )
    assert played(ORDER + EACH, test) == []
