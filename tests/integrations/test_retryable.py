"""One table says what is worth another try, and every sender keeps it; every failure has the one shape."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime

import pytest

from server import bootstrap  # noqa: F401 - every code is declared
from server.integrations import guards, keys, outputs
from server.kernel.errors import CrossdockError, Failure, Permanent, Postponed, Retryable, declared_codes
from server.kernel.retryable import FAILURE_KINDS, RETRYABLE_STATUS, UNASKED, answered
from server.mapping import EvaluationError, compile_map
from server.sdk.answers import failure_of
from server.transport import failures
from server.webhooks import outcomes
from server.webhooks.rendering import RENDERED_REFUSED

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TABLE = {code: kind.retryable for kind in FAILURE_KINDS for code in kind.codes if code != "HTTP_STATUS"}
RAISED = [
    failures.dns_failed("h", "x"),
    failures.connect_failed("h", "x"),
    failures.tls_failed("h", "x"),
    failures.proxy_failed("x"),
    failures.timed_out("total", 1.0),
    failures.answer_broken("x"),
    failures.url_refused("x"),
    failures.address_refused("a", "x"),
    failures.request_refused("x"),
    failures.answer_too_large(1),
    outputs.output_invalid("integration/it", [{"pointer": "", "message": "x"}]),
    keys.in_progress("integration/it", 1.0),
    *(Postponed(why, code=name) for name, why in guards.REFUSALS.values()),
]


def test_network_5xx_429_and_time_outs_are_worth_another_try_and_4xx_schema_and_mapping_are_not() -> None:
    assert {kind.name: kind.retryable for kind in FAILURE_KINDS} == {
        "network": True,
        "time-out": True,
        "429": True,
        "5xx, 408, 425": True,
        "not now": True,
        "any other answer": False,
        "schema": False,
        "mapping": False,
        "refused by us": False,
        "a fault of the plugin": False,
        "a key of another call": False,
    }
    assert {*TABLE, RENDERED_REFUSED} <= declared_codes().keys(), "each code of the table is declared"


def test_plugins_and_deliveries_judge_every_status_alike() -> None:
    for status in range(300, 600):
        failure = failure_of(status, {}, NOW)
        assert failure is not None
        assert failure.retryable == outcomes.status_failure(status).retryable == (status in RETRYABLE_STATUS)
        assert TABLE[failure.code] == failure.retryable
        assert (outcomes.verdict(status) == "retry") == failure.retryable


@pytest.mark.parametrize("error", RAISED, ids=lambda error: error.code)
def test_every_failure_keeps_the_table_and_has_the_one_shape(error: CrossdockError) -> None:
    assert error.failure.retryable == TABLE[error.code]
    assert isinstance(error, Retryable | Postponed if TABLE[error.code] else Permanent)
    assert [each.name for each in fields(Failure)] == ["code", "message", "source", "details", "retryable"]
    assert set(error.failure.as_dict()) == {"code", "message", "source", "details", "retryable"}


def test_a_mapping_that_fails_is_not_worth_another_try() -> None:
    with pytest.raises(EvaluationError) as failed:
        compile_map({"a": {"from": "data.b", "required": True}}, frozenset(("data",))).run({"data": {}})
    assert (failed.value.failure.retryable, TABLE[failed.value.code]) == (False, False)


@pytest.mark.parametrize("kind", [Retryable, Permanent])
@pytest.mark.parametrize("name", [*sorted(UNASKED), "UPSTREAM_FAILED", "UPSTREAM_REFUSED"])
def test_what_was_not_asked_has_neither_answered_nor_failed(name: str, kind: type[CrossdockError]) -> None:
    assert name in declared_codes()
    said = answered(kind("x", code=name).failure)
    assert said == (None if name in UNASKED else kind is Permanent)
