"""A person brings a request by hand, or has one mapped once more: over REST and on the command line."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from click.testing import CliRunner

from server.cli.client import InProcess, Rest
from server.cli.main import root
from server.cli.shell import Shell
from server.kernel.ids import show
from tests.support.inbound import EMIT, ORDER, change, declare, drained, emitted, letters, request, states, store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result

    from tests.support.product import Product


def cli(product: Product, *arguments: str) -> Result:
    return CliRunner().invoke(root, list(arguments), obj=Shell(given=Rest(InProcess(product.client().application))))


def bring(product: Product, status: int = 202, name: str = "orders-in", **body: Any) -> Any:
    answer = product.client().post(f"/api/v1/webhooks/{name}/requests", json={"payload": ORDER, **body})
    assert answer.status_code == status, answer.text
    return answer.json


def test_a_request_by_hand_is_mapped_as_if_its_sender_had_sent_it(product: Product) -> None:
    emit = {**EMIT, "data": {"shop": "params.shop", "topic": "headers.x_topic", "page": "request.query.page"}}
    verify = {"scheme": "github", "key": {"secret": "NOBODY_HAS_IT"}}
    declare(product, path="{shop}/orders", emit=emit, verify=verify)
    made = bring(
        product, headers={"X-Topic": "paid", "Authorization": "Bearer x"}, params={"shop": "north"}, query="page=2"
    )
    assert (made["state"], made["client"], made["body"]) == (
        "received",
        "trigger",
        json.dumps(ORDER, separators=(",", ":")),
    )
    assert "authorization" not in made["headers"]
    drained(product)
    [event] = emitted(product)
    assert json.loads(event.data) == {"shop": "north", "topic": "paid", "page": "2"}


def test_it_may_be_brought_again_and_again(product: Product) -> None:
    declare(product, dedupe={"key": "body.id"})
    assert bring(product)["id"] != bring(product)["id"]
    drained(product)
    assert (states(product), len(emitted(product))) == ({"emitted": 2}, 2)


def test_what_cannot_take_it_is_said(product: Product) -> None:
    product.webhook("out", "http://127.0.0.1:9/")
    declare(product, "xml", format="xml")
    declare(product, "draft")
    product.act("draft", "deactivate")
    assert bring(product, 404, "none")["code"] == "NOT_FOUND"
    assert bring(product, 404, "out")["code"] == "NOT_FOUND"
    assert bring(product, 422, "xml")["code"] == "ADMIT_REFUSED"
    assert bring(product, 409, "draft")["code"] == "WRONG_STATE"
    wrong = product.client().post("/api/v1/webhooks/xml/trigger", json={"payload": {}})
    assert (wrong.status_code, wrong.json["code"]) == (409, "WEBHOOK_INBOUND")


def test_a_request_is_mapped_once_more(product: Product) -> None:
    hook = declare(
        product, emit={**EMIT, "subject": "body.none.x", "data": {"n": {"from": "body.n", "required": True}}}
    )
    [one] = store(product, hook, ORDER)
    path = f"/api/v1/inbound-requests/{show('req', one)}/retry"
    waiting = product.client().post(path)
    assert (waiting.status_code, waiting.json["state"], waiting.json["round"]) == (202, "received", 1), (
        "it waits already"
    )
    drained(product)
    change(product, "orders-in", emit=EMIT)
    assert product.client().post(path).json["round"] == 2
    drained(product)
    assert (request(product, one).state, letters(product)[0].resolution) == ("emitted", "replayed")
    assert product.client(product.workspace("default", "other")).post(path).status_code == 404


@pytest.fixture
def _quiet() -> Iterator[None]:
    """Logs stay out of what commands write."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_quiet")
def test_the_command_line_brings_and_retries(product: Product) -> None:
    body = {"name": "orders-in", "direction": "inbound", "path": "orders", "verify": {"scheme": "none"}}
    created = product.client().post(
        "/api/v1/webhooks", json={**body, "emit": {**EMIT, "data": {"topic": "headers.x_topic"}}}
    )
    assert created.status_code == 201, created.text
    made = cli(
        product, "webhook", "trigger", "orders-in", "--data", json.dumps(ORDER), "--header", "X-Topic: paid", "--json"
    )
    assert made.exit_code == 0, made.stderr
    identity = json.loads(made.stdout)["id"]
    drained(product)
    assert json.loads(cli(product, "inbound", "show", identity, "--json").stdout)["state"] == "emitted"
    assert cli(product, "inbound", "retry", identity).exit_code == 0
    drained(product)
    assert [json.loads(each.data) for each in emitted(product)] == [{"topic": "paid"}] * 2
    assert "no NAME:VALUE" in cli(product, "webhook", "trigger", "orders-in", "--data", "{}", "--header", "x").stderr
