"""The guarded call: whatever a plugin does, what leaves is an output that fits or one named failure."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import pytest

from server.integrations.calls import Caller
from server.integrations.gates import Link, Wait
from server.integrations.guards import Call, Claimed, Hold
from server.integrations.patience import NoPlaceError, Patience
from server.integrations.plugins import discover
from server.integrations.policies import PRESETS
from server.kernel.clock import SystemClock
from server.kernel.errors import CrossdockError, Invalid, Permanent, Postponed, Retryable
from server.sdk.schemas import is_json
from server.transport.addresses import AddressPolicy

PLUGINS = discover()
PASSWORD = "hostile-password-81c2"
LOOPBACK = AddressPolicy(["127.0.0.0/8"])


def call_of(plugin, operation, given, **more):
    fields = {
        "organization": "default",
        "workspace": "default",
        "integration": "it",
        "plugin": PLUGINS[plugin],
        "operation": operation,
        "input": given,
        "config": {"password": PASSWORD} if plugin == "hostile" else {},
        "addresses": LOOPBACK,
        "correlation_id": "cor_1",
        "secrets": (PASSWORD,),
        "timeout": 5.0,
    }
    return Call(**(fields | more))


@pytest.fixture
def caller():
    made = Caller(clock=SystemClock())
    yield made
    made.close()


@pytest.fixture
def mock():
    with PLUGINS["http"].mock_factory() as running:
        yield running


def http_call(mock, **more):
    fields = {"config": mock.config, "secrets": mock.secrets} | more
    given = fields.pop("given", {"path": "/things"})
    return call_of("http", "request.send", given, **fields)


def test_a_good_call_returns_its_output(caller, mock):
    output = caller.call(http_call(mock, given={"path": "/things", "query": {"page": 2}}))
    assert output["body"] == {"items": [{"id": 2}], "page": 2}


def test_connections_are_reused_from_call_to_call_and_nothing_else_is(caller, mock):
    for _ in range(3):
        caller.call(http_call(mock))
    assert len({request.headers["x-correlation-id"] for request in mock.received}) == 1
    assert len(mock.connections) == 1


def test_a_call_sends_its_key_at_every_try(caller, mock):
    for retry in range(2):
        caller.call(http_call(mock, idempotency_key="run:step:1", retry_count=retry))
    assert [request.headers["idempotency-key"] for request in mock.received] == ["run:step:1"] * 2


@pytest.mark.parametrize(
    ("scenario", "kind", "code", "after"),
    [
        ("401", Permanent, "UPSTREAM_FORBIDDEN", None),
        ("404", Permanent, "UPSTREAM_NOT_FOUND", None),
        ("429", Retryable, "UPSTREAM_LIMITED", 7),
        ("500", Retryable, "UPSTREAM_FAILED", None),
        ("slow", Retryable, "TIMEOUT", None),
        ("broken_json", Retryable, "ANSWER_BROKEN", None),
    ],
)
def test_each_way_the_other_system_fails_has_its_class(caller, mock, scenario, kind, code, after):
    mock.play(scenario)
    with pytest.raises(kind) as failed:
        caller.call(http_call(mock, timeout=0.5 if scenario == "slow" else 5.0))
    failure = failed.value.failure
    assert (failure.code, failure.source, failed.value.after) == (code, "integration/it", after)
    assert set(failure.as_dict()) == {"code", "message", "source", "details", "retryable"}
    assert not any(secret in json.dumps(failure.as_dict()) for secret in mock.secrets)


def test_an_address_that_the_workspace_may_not_reach_is_refused(caller, mock):
    with pytest.raises(Permanent) as refused:
        caller.call(http_call(mock, addresses=AddressPolicy()))
    assert refused.value.code == "ADDRESS_REFUSED"
    assert not mock.received


def test_a_connection_of_one_workspace_is_not_used_by_another(caller, mock):
    caller.call(http_call(mock))
    with pytest.raises(Permanent):
        caller.call(http_call(mock, workspace="other", addresses=AddressPolicy()))


@pytest.mark.parametrize("given", [{}, {"path": 1}, {"path": "/x", "more": 1}, {"path": "/../x"}, None, [], "x"])
def test_a_bad_input_is_refused_before_anything_is_sent(caller, mock, given):
    with pytest.raises(Permanent) as refused:
        caller.call(http_call(mock, given=given))
    assert refused.value.code == "INPUT_INVALID"
    assert refused.value.details["errors"][0].keys() == {"pointer", "message"}
    assert not mock.received


def test_an_unknown_operation_is_an_invalid_input(caller):
    with pytest.raises(Permanent) as refused:
        caller.call(call_of("hostile", "no.such", {}))
    assert refused.value.code == "INPUT_INVALID"


@pytest.mark.parametrize(
    "how",
    [
        "set",
        "bytes",
        "object",
        "nan",
        "number-key",
        "surrogate",
        "cycle",
        "deep",
        "huge",
        "long",
        "list",
        "nothing",
        "breach",
    ],
)
def test_an_output_that_is_no_json_or_breaks_its_schema_is_refused(caller, how):
    started = time.monotonic()
    with pytest.raises(Permanent) as refused:
        caller.call(call_of("hostile", "answer.give", {"how": how}))
    assert refused.value.code in {"OUTPUT_INVALID", "PLUGIN_BROKEN"}
    assert is_json(refused.value.failure.as_dict())
    assert time.monotonic() - started < 10


def test_a_good_output_of_a_bad_plugin_is_taken(caller):
    assert caller.call(call_of("hostile", "answer.give", {"how": "good"})) == {"value": 1}


@pytest.mark.parametrize(
    ("how", "kind", "code"),
    [
        ("key", Permanent, "PLUGIN_BROKEN"),
        ("leak", Permanent, "PLUGIN_BROKEN"),
        ("leak-named", Retryable, "UPSTREAM_FAILED"),
        ("leak-cause", Permanent, "PLUGIN_BROKEN"),
        ("silent", Permanent, "PLUGIN_BROKEN"),
        ("exit", Permanent, "PLUGIN_BROKEN"),
        ("interrupt", Permanent, "PLUGIN_BROKEN"),
        ("stop", Permanent, "PLUGIN_BROKEN"),
        ("memory", Retryable, "UPSTREAM_FAILED"),
        ("network", Retryable, "UPSTREAM_FAILED"),
        ("bad-details", Permanent, "UPSTREAM_REFUSED"),
        ("bad-after", Retryable, "UPSTREAM_FAILED"),
        ("bad-code", Permanent, "PLUGIN_BROKEN"),
    ],
)
def test_any_error_of_a_plugin_becomes_the_one_shape_without_its_secrets(caller, how, kind, code):
    with pytest.raises(CrossdockError) as failed:
        caller.call(call_of("hostile", "error.raise", {"how": how}))
    error = failed.value
    assert (type(error), error.code, error.source) == (kind, code, "integration/it")
    assert is_json(error.failure.as_dict())
    assert error.after is None
    assert PASSWORD not in json.dumps(error.failure.as_dict())
    assert error.__cause__ is None
    assert error.__context__ is None
    assert len(json.dumps(error.failure.as_dict())) < 20_000


def test_a_fault_of_a_plugin_says_where_it_is(caller):
    with pytest.raises(Permanent) as failed:
        caller.call(call_of("hostile", "error.raise", {"how": "key"}))
    assert failed.value.details["stack"][-1].endswith(" execute")


@pytest.mark.parametrize("step", ["validate", "execute", "transform"])
def test_a_plugin_that_hangs_ends_in_time_at_every_step(caller, step):
    started = time.monotonic()
    with pytest.raises(Retryable) as failed:
        caller.call(call_of("hostile", "call.hang", {"how": step}, timeout=0.2))
    assert (failed.value.code, failed.value.details["phase"]) == ("TIMEOUT", "plugin")
    assert time.monotonic() - started < 2


def test_a_plugin_without_end_in_itself_is_its_own_fault(caller):
    with pytest.raises(Permanent) as failed:
        caller.call(call_of("hostile", "call.hang", {"how": "recurse"}))
    assert failed.value.code == "PLUGIN_BROKEN"


def test_an_integration_that_hangs_for_ever_postpones_its_own_calls_and_nobody_elses():
    caller = Caller(clock=SystemClock(), patience=Patience(per_name=2))
    hanging = call_of("hostile", "call.hang", {"how": "execute"}, timeout=0.1)
    for _ in range(2):
        with pytest.raises(Retryable):
            caller.call(hanging)
    with pytest.raises(Postponed) as busy:
        caller.call(hanging)
    assert (busy.value.code, busy.value.after) == ("PLUGIN_BUSY", 5.0)
    assert caller.call(call_of("hostile", "answer.give", {"how": "good"}, integration="other")) == {"value": 1}


LINK = Link(1, UUID(int=1), PRESETS["default"])


class Watching:
    """Gate and keys in one, which remember the order of what was asked."""

    def __init__(self, refuse="", kept=None):
        self.seen, self.refuse, self.kept = [], refuse, kept

    def _see(self, what):
        self.seen.append(what)
        if self.refuse == what:
            raise Postponed("not now", after=3)

    def wait(self, _link, _ticket):
        self.seen.append("wait")
        return Wait(3, "breaker") if self.refuse == "wait" else None

    def record(self, _link, _ticket, *, succeeded):
        self.seen.append(succeeded)

    def claim(self, call):
        self._see("claim")
        hold = Hold(1, UUID(int=1), call.idempotency_key, UUID(int=2), 1)
        return Claimed(output=self.kept) if self.kept else Claimed(hold=hold)

    def keep(self, _hold, output):
        self.seen.append(("keep", output["status"]))
        return output

    def fail(self, _hold, error):
        self.seen.append(("fail", error.code))

    def free(self, _hold):
        self.seen.append("free")


def watched(watching):
    return Caller(clock=SystemClock(), gate=watching, keys=watching)


@pytest.mark.parametrize(
    ("scenario", "refuse", "seen"),
    [
        ("ok", "", ["claim", "wait", True, ("keep", 200)]),
        ("500", "", ["claim", "wait", False, "free"]),
        ("429", "", ["claim", "wait", False, "free"]),
        ("slow", "", ["claim", "wait", False, "free"]),
        ("404", "", ["claim", "wait", True, ("fail", "UPSTREAM_NOT_FOUND")]),
        ("ok", "claim", ["claim"]),
        ("ok", "wait", ["claim", "wait", "free"]),
    ],
)
def test_the_guards_are_asked_in_order_and_told_the_outcome(mock, scenario, refuse, seen):
    mock.play(scenario)
    watching = Watching(refuse)
    with suppress(CrossdockError):
        watched(watching).call(
            http_call(mock, idempotency_key="key_1", link=LINK, timeout=0.5 if scenario == "slow" else 5.0)
        )
    assert watching.seen == seen
    assert bool(mock.received) == (not refuse)


def test_a_kept_result_is_given_again_without_a_call(mock):
    watching = Watching(kept={"status": 201})
    assert watched(watching).call(http_call(mock, idempotency_key="key_1", link=LINK)) == {"status": 201}
    assert (watching.seen, mock.received) == (["claim"], [])


def test_nothing_is_kept_of_a_read_or_of_a_call_without_a_key(mock):
    watching = Watching()
    caller = watched(watching)
    assert caller.call(call_of("hostile", "answer.give", {"how": "good"}, idempotency_key="k", link=LINK))
    caller.call(http_call(mock, link=LINK))
    assert watching.seen == ["wait", True] * 2


def test_a_fault_of_the_plugin_says_nothing_about_the_other_system():
    watching = Watching()
    with pytest.raises(Permanent):
        watched(watching).call(call_of("hostile", "error.raise", {"how": "key"}, link=LINK))
    assert watching.seen == ["wait", None]


def test_a_request_that_was_refused_here_says_nothing_about_the_other_system(mock):
    watching = Watching()
    call = http_call(mock, link=LINK)
    with pytest.raises(Permanent) as caught:
        watched(watching).call(replace(call, config={**call.config, "base_url": "http://10.1.2.3"}))
    assert (caught.value.code, watching.seen) == ("ADDRESS_REFUSED", ["wait", None])


def test_an_operation_that_the_plugin_refuses_by_itself_says_nothing_about_the_other_system():
    watching = Watching()
    config = {"url": "http://127.0.0.1:9", "database": "erp", "key": PASSWORD, "company": 1}
    with pytest.raises(Permanent) as caught:
        watched(watching).call(call_of("tryton", "leave.cancel", {"leave_id": "L-1"}, config=config, link=LINK))
    assert (caught.value.code, watching.seen) == ("NOT_SUPPORTED_HERE", ["wait", None])


@pytest.mark.parametrize(
    ("kind", "code", "told"),
    [
        (Permanent, "ATOMIC_NOT_OFFERED", None),
        (Permanent, "INPUT_INVALID", None),
        (Permanent, "AUTH_KEY_INVALID", None),
        (Invalid, "AUTH_KEY_INVALID", None),
        (Permanent, "TARGET_CANNOT", None),
        (Permanent, "UPSTREAM_REFUSED", True),
        (Retryable, "DATABASE_AWAY", None),
        (Retryable, "TOKEN_REFUSED", None),
        (Postponed, "TOKEN_UNAVAILABLE", None),
        (Retryable, "UPSTREAM_FAILED", False),
    ],
)
def test_a_piece_that_ends_before_the_system_is_asked_says_nothing_about_it(kind, code, told):
    def work(_adapter, _context):
        raise kind("not now", code=code)

    watching = Watching()
    with pytest.raises(CrossdockError):
        watched(watching).piece(call_of("http", "request.send", {}, link=LINK), work)
    assert watching.seen == ["wait", told]


def test_health_is_told_and_trouble_is_unhealthy(caller, mock):
    assert caller.health(http_call(mock)).status == "healthy"
    for broken in ("500", "slow"):
        mock.play(broken)
        health = caller.health(http_call(mock, timeout=0.5))
        assert health.status == "unhealthy"
        assert health.details["failure"]["retryable"]
    odd = caller.health(call_of("hostile", "answer.give", {"how": "good"}))
    assert (odd.status, odd.details["failure"]["code"]) == ("unhealthy", "PLUGIN_BROKEN")
    assert PASSWORD not in json.dumps(odd.as_dict())


def test_a_call_and_its_context_show_no_secret_when_printed(mock):
    call = replace(http_call(mock), input={"path": "/secret-input"})
    assert not any(secret in repr(call) for secret in (*mock.secrets, "/secret-input"))


def test_nobody_waits_long_for_a_place_however_long_the_work_may_take():
    patience, end = Patience(per_name=1, wait=0.2), threading.Event()
    with pytest.raises(TimeoutError):
        patience.run("a", end.wait, 0.05)
    began = time.monotonic()
    with pytest.raises(NoPlaceError):
        patience.run("a", int, 600)
    assert time.monotonic() - began < 5
    end.set()


def test_work_left_behind_gives_its_place_back_when_it_ends():
    patience, end = Patience(per_name=1), threading.Event()
    with pytest.raises(TimeoutError):
        patience.run("a", end.wait, 0.05)
    with pytest.raises(NoPlaceError):
        patience.run("a", int, 0.05)
    end.set()
    assert patience.run("a", int, 1.0) == 0
    assert patience.running("a") == 0
