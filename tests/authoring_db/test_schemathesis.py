"""Called as documented and otherwise, these rooms never break their document and never answer 5xx."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from tests.support.definitions import ALL

if TYPE_CHECKING:
    from flask import Flask

    from tests.authoring_db.conftest import Hand

_QUICKLY = settings(
    max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
# A definition that fits its schema can still break a rule that only the workspace knows: 422.
_TAKEN = ["2xx", "400", "401", "403", "404", "409", "412", "422", "428"]
_REFUSED = ["400", "401", "403", "404", "405", "409", "412", "413", "414", "415", "422", "428"]
_CONFIG = schemathesis.Config.from_dict(
    {
        "checks": {
            "positive_data_acceptance": {"expected-statuses": _TAKEN},
            "negative_data_rejection": {"expected-statuses": _REFUSED},
        }
    }
)


class Patient:
    """Counts no failed authentication: every call tries a wrong token too."""

    def failed(self, address: str) -> None:
        """Let it pass."""
        del address


def test_every_operation_answers_as_documented(app: Flask, hand: Hand) -> None:
    hand.apply(*ALL)
    app.extensions["crossdock"].failures = Patient()
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app, config=_CONFIG)
    called = 0
    for result in schema.get_all_operations():
        for mode in schemathesis.GenerationMode:
            _call(result.ok(), mode)
        called += 1
    assert called > 30


def _call(operation: Any, mode: schemathesis.GenerationMode) -> None:
    @_QUICKLY
    @given(operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        if mode is schemathesis.GenerationMode.POSITIVE:
            case.headers["Idempotency-Key"] = uuid4().hex
            case.query.pop("cursor", None)
        case.call_and_validate(headers={"Authorization": "Bearer admin"})

    with suppress(Unsatisfiable):  # what takes nothing cannot be called wrongly
        check()
