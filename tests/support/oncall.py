"""The product with its pages, and a browser of the cheap kind: Flask's client with a form filler."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from typing import TYPE_CHECKING

from server import bootstrap
from server.app import create_app
from server.dashboard.blueprint import NAME, of_core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Flask
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from server.store import Scope
    from tests.support.product import Product

_FORM = re.compile(r'<form\b[^>]*action="([^"]*)"[^>]*>(.*?)</form>', re.DOTALL)
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


def pages_app(product: Product) -> Flask:
    """Build the application of an API process with the pages in it."""
    core = replace(product.core, settings=product.settings)
    services = bootstrap.api(product.settings, built=core)
    rooms = [each for each in services.blueprints if each.name != NAME]
    return create_app(replace(services, blueprints=[*rooms, of_core(core)]))


def new_token(product: Product, role: str = "operator", scope: Scope | None = None, scopes: Sequence[str] = ()) -> str:
    """Make a token."""
    made = product.client(scope).post("/api/v1/tokens", json={"name": role, "role": role, "scopes": list(scopes)})
    assert made.status_code == 201, made.json
    return str(made.json["token"])


def forms(page: TestResponse) -> dict[str, dict[str, str]]:
    """Return the forms of a page: their hidden fields by their action."""
    return {
        unescape(action): {name: unescape(value) for name, value in _HIDDEN.findall(body)}
        for action, body in _FORM.findall(page.text)
    }


def sign_in(client: FlaskClient, token: str, path: str = "") -> TestResponse:
    """Fill in the sign-in."""
    door = client.get("/sign-in", query_string={"next": path} if path else None)
    return client.post("/sign-in", data={**forms(door)["/sign-in"], "token": token})


def press(client: FlaskClient, page: TestResponse, action: str, **filled: str) -> TestResponse:
    """Send the form of a page that has this action, with what was filled in, and go where it leads."""
    answer = client.post(action, data={**forms(page)[action], **filled})
    assert answer.status_code == 303, answer.text
    return client.get(answer.headers["Location"])
