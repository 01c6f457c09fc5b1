"""The limits fit together: whatever time a definition gives, a request has, and what is held meanwhile is held for longer."""

from __future__ import annotations

import pytest

from server.flows.fields import CALL_TIMEOUT
from server.integrations import places
from server.integrations.policies import PRESETS
from server.integrations.spec import _POLICY
from server.kernel.errors import Retryable
from server.kernel.policies import parse_duration
from server.transport.limits import DELIVERY_LIMITS, PLUGIN_LIMITS, Limits
from server.transport.sync import Connections
from server.webhooks.spec import OUTBOUND
from tests.transport.senders import LOOPBACK


def most(field):
    """The longest duration that a field takes, in seconds."""
    return parse_duration(field.type.most)


def timeout_of(fields):
    return next(each for each in fields.fields if each.name == "timeout")


WEBHOOK, POLICY, STEP = most(timeout_of(OUTBOUND.object)), most(timeout_of(_POLICY)), most(CALL_TIMEOUT)


def test_a_delivery_has_all_the_time_that_its_webhook_or_its_policy_may_say():
    assert DELIVERY_LIMITS.total >= max(WEBHOOK, POLICY, *(each.timeout for each in PRESETS.values()))


def test_a_call_has_all_the_time_that_its_policy_or_its_step_may_say():
    assert PLUGIN_LIMITS.total >= max(POLICY, STEP)


def test_a_place_is_held_for_longer_than_any_call_takes():
    assert max(POLICY, STEP) < places.LONGEST_SECONDS


def test_each_request_of_a_session_that_is_kept_has_its_own_time(receiver):
    connections = Connections(LOOPBACK, Limits(total=5.0))
    session = connections.session(5.0, each=0.2)
    for _ in range(2):
        with pytest.raises(Retryable) as failed:
            session.get(receiver.url("/hang"))
        assert failed.value.details["seconds"] == pytest.approx(0.2)
    connections.close()
