"""Called as documented and otherwise, the toy application never breaks its document and never answers 5xx."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from tests.web.toy import as_role

if TYPE_CHECKING:
    from flask import Flask

_QUICKLY = settings(
    max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
# Within the document a request can still be refused for what is there already; outside of it, also for its size.
_TAKEN = ["2xx", "401", "403", "404", "409", "412", "428"]
_REFUSED = ["400", "401", "403", "404", "405", "409", "412", "413", "414", "415", "422", "428"]
_CHECKS = {
    "positive_data_acceptance": {"expected-statuses": _TAKEN},
    "negative_data_rejection": {"expected-statuses": _REFUSED},
}
_CONFIG = schemathesis.Config.from_dict({"checks": _CHECKS})


def test_every_operation_answers_as_documented(app: Flask):
    app.extensions["crossdock"].failures.most = 10**9
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app, config=_CONFIG).exclude(path_regex="/broken|/echo")
    called = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in schemathesis.GenerationMode:
            _call(operation, mode)
        called.add(operation.label)
    assert len(called) >= 6


def _call(operation: Any, mode: schemathesis.GenerationMode) -> None:
    @_QUICKLY
    @given(operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        if (
            mode is schemathesis.GenerationMode.POSITIVE
        ):  # what no schema can say: a key is new, a cursor is one of ours
            case.headers["Idempotency-Key"] = uuid4().hex
            case.query.pop("cursor", None)
        case.call_and_validate(headers=as_role("admin"))

    with suppress(Unsatisfiable):  # what takes nothing cannot be called wrongly
        check()
