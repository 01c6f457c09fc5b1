"""The figures of the presets, and what a definition may replace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.integrations.policies import PRESETS, policy_of
from server.kernel.policies import STANDARD_SCHEDULE
from server.webhooks.outbound import webhook_of
from server.webhooks.targets import _under_policy

FIGURES = [
    ("sales-system", 5, 2, 30, 60, 3, 1, 30, 0.1, (100, 10)),
    ("erp-system", 3, 2, 45, 120, 5, 2, 60, 0.2, (50, 5)),
    ("e-signature", 5, 3, 60, 300, 3, 1, 30, 0.1, (20, 2)),
    ("communication-gateway", 10, 3, 15, 30, 5, 0.5, 10, 0.15, None),
    ("sms-gateway", 10, 3, 15, 30, 5, 0.5, 10, 0.15, (50, 10)),
    ("email-gateway", 10, 3, 15, 30, 5, 0.5, 10, 0.15, (100, 20)),
    ("default", 5, 1, 30, 60, 2, 1, 1, 0, None),
]


@pytest.mark.parametrize(
    ("name", "failures", "successes", "timeout", "reset", "retries", "initial", "most", "jitter", "rate"), FIGURES
)
def test_presets(name, failures, successes, timeout, reset, retries, initial, most, jitter, rate) -> None:
    policy = PRESETS[name]
    assert (policy.breaker.failures, policy.breaker.successes, policy.breaker.reset) == (failures, successes, reset)
    assert policy.timeout == timeout
    assert policy.retry.tries == retries + 1
    assert policy.retry.delays == tuple(min(initial * 2**n, most) for n in range(retries))
    assert policy.retry.jitter == jitter
    assert (policy.rate and (policy.rate.capacity, policy.rate.per_second)) == rate


@pytest.mark.parametrize(
    ("name", "failures", "successes", "timeout", "reset", "retries", "initial", "most", "jitter", "rate"), FIGURES
)
@given(random=st.floats(0, 1, exclude_max=True), n=st.integers(0, 10))
def test_n_retries_are_n_plus_one_calls_with_growing_pauses(
    random, n, name, failures, successes, timeout, reset, retries, initial, most, jitter, rate
) -> None:
    pause = PRESETS[name].retry.pause(n + 1, random)
    if n >= retries:
        assert pause is None
    else:
        planned = min(initial * 2**n, most) * (1 + jitter * random)
        assert pause.total_seconds() == pytest.approx(planned, abs=1e-5)


OWN = {"attempts": 2, "initial": "7s", "max": "7s"}


@pytest.mark.parametrize(
    ("policy", "retry", "delays", "jitter"),
    [
        (None, None, STANDARD_SCHEDULE, 0.2),
        ("erp-system", None, (2, 4, 8, 16, 32), 0.2),
        ("default", None, (1, 1), 0),
        ({"retry": {"attempts": 2, "initial": "3s"}}, None, (3,), 0),
        ({"preset": "default", "concurrency": 5}, None, (1, 1), 0),
        ({"concurrency": 5}, None, STANDARD_SCHEDULE, 0.2),
        ({"timeout": "5s"}, None, STANDARD_SCHEDULE, 0.2),
        (None, OWN, (7,), 0.2),
        ("erp-system", OWN, (7,), 0.2),
        ("erp-system", {"schedule": ["1s", "2s"], "jitter": 0}, (1, 2), 0),
    ],
)
def test_a_webhooks_own_retry_wins_and_without_a_named_policy_the_standard_schedule_holds(
    policy, retry, delays, jitter
) -> None:
    body = {"name": "w", "events": ["a.b"], "integration": "it", **({"retry": retry} if retry else {})}
    webhook = _under_policy(webhook_of(body), body, policy_of({"policy": policy} if policy else {}))
    assert (webhook.retry.delays, webhook.retry.jitter) == (delays, jitter)


def test_every_preset_has_figures_here() -> None:
    assert {row[0] for row in FIGURES} == PRESETS.keys()


def test_a_definition_replaces_single_figures_and_keeps_the_rest() -> None:
    policy = policy_of(
        {
            "policy": {
                "preset": "communication-gateway",
                "timeout": "20s",
                "retry": {"attempts": 3, "initial": "500ms", "multiplier": 3, "max": "10s"},
                "breaker": {"failures": 4},
                "rate_limit": {"capacity": 50, "per_second": 10},
            }
        }
    )
    assert policy.timeout == 20
    assert policy.retry.delays == (0.5, 1.5)
    assert policy.retry.jitter == 0.15
    assert (policy.breaker.failures, policy.breaker.successes, policy.breaker.reset) == (4, 3, 30)
    assert policy.rate is not None
    assert policy.rate.capacity == 50


@pytest.mark.parametrize(
    ("preset", "retry", "delays"),
    [
        ("sales-system", {"attempts": 7}, (1, 2, 4, 8, 16, 30)),
        ("sales-system", {"initial": "10s"}, (10, 20, 30)),
        ("sales-system", {"initial": "1m"}, (60, 60, 60)),
        ("sales-system", {"initial": "1m", "max": "2s"}, (2, 2, 2)),
        ("erp-system", {"attempts": 8}, (2, 4, 8, 16, 32, 60, 60)),
        ("erp-system", {"attempts": 1, "max": "10s"}, ()),
        ("sms-gateway", {"attempts": 7, "multiplier": 3}, (0.5, 1.5, 4.5, 10, 10, 10)),
        ("default", {"initial": "5s", "attempts": 4}, (5, 5, 5)),
        ("default", {"max": "1h", "attempts": 4}, (1, 2, 4)),
    ],
)
def test_what_a_retry_does_not_say_the_preset_says(preset: str, retry: dict[str, object], delays: object) -> None:
    policy = policy_of({"policy": {"preset": preset, "retry": retry}})
    assert (policy.retry.delays, policy.retry.jitter) == (delays, PRESETS[preset].retry.jitter)


def test_no_policy_is_the_default_and_says_nothing() -> None:
    assert policy_of({}) == PRESETS["default"]
    assert policy_of({}).said == set()
    assert policy_of({"policy": "erp-system"}).said == {"retry", "timeout"}


def test_a_policy_of_limits_alone_leaves_a_webhook_its_time_out() -> None:
    body = {"name": "w", "events": ["a.b"], "integration": "it"}
    limits = policy_of({"policy": {"rate_limit": {"capacity": 1, "per_second": 1}}})
    assert _under_policy(webhook_of(body), body, limits) == webhook_of(body)
    own = policy_of({"policy": {"timeout": "7s", "concurrency": 2}})
    assert _under_policy(webhook_of(body), body, own).timeout == 7
