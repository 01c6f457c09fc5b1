"""The whole application, called as its document says and otherwise: never a 5xx, never an answer that the document has not."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from server import bootstrap
from server.app import create_app
from tests.api.routes import Route, routes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.api.world import Place, World

# A request that fits its schema can still be refused for what only the workspace knows, or for what no schema says.
_TAKEN = ["2xx", "400", "401", "403", "404", "409", "412", "422", "428"]
_REFUSED = ["400", "401", "403", "404", "405", "409", "412", "413", "414", "415", "422", "428"]
_CONFIG = schemathesis.Config.from_dict(
    {
        "checks": {
            "positive_data_acceptance": {"expected-statuses": _TAKEN},
            "negative_data_rejection": {"expected-statuses": _REFUSED},
            "missing_required_header": {"expected-statuses": _REFUSED},
        },
        # No scheduler runs here, which is what this answer is for.
        "operations": [
            {
                "include-path": "/health",
                "checks": {
                    "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "503"]},
                    "positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "503"]},
                },
            }
        ],
    }
)
_EXAMPLES = {schemathesis.GenerationMode.POSITIVE: 6, schemathesis.GenerationMode.NEGATIVE: 4}


class Patient:
    """Counts no failed authentication: every call tries a wrong token too."""

    def failed(self, address: str) -> None:
        """Let it pass."""
        del address


@pytest.mark.timeout(300)
def test_every_operation_answers_as_documented(world: World, alpha: Place):
    services = bootstrap.api(world.product.settings, built=world.product.core)
    app = create_app(replace(services, failures=Patient()))
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app, config=_CONFIG)
    known = {(each.method, each.template): each for each in routes(world.app)}
    called = set()
    for operation in [each.ok() for each in schema.get_all_operations()]:
        route = known.get((operation.method.upper(), operation.path))
        for mode, most in _EXAMPLES.items():
            _call(operation, mode, most, _there(alpha, route), alpha.admin)
        called.add(operation.label)
    assert called >= {f"{method} {path}" for method, path in known}
    assert len(called) == len(known) + 4


def _there(place: Place, route: Route | None) -> list[dict[str, str]]:
    """Return path parameters that name something."""
    return place.values(route) if route is not None and route.variables else []


def _call(operation: Any, mode: Any, most: int, there: list[dict[str, str]], admin: Mapping[str, str]) -> None:
    @settings(
        max_examples=most, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(operation.as_strategy(generation_mode=mode), st.data())
    def check(case: schemathesis.Case, data: st.DataObject) -> None:
        if mode is schemathesis.GenerationMode.POSITIVE:
            # What no schema can say: a key is new, a cursor is one of ours, and most names should be of something.
            case.headers["Idempotency-Key"] = uuid4().hex
            case.query.pop("cursor", None)
            if there and data.draw(st.integers(0, 3)):
                case.path_parameters.update(data.draw(st.sampled_from(there)))
        case.call_and_validate(headers=dict(admin))

    with suppress(Unsatisfiable):  # what takes nothing cannot be called wrongly
        check()
