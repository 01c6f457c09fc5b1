"""The pages of flows: each with its runs, one run on a line of time and as a picture, and what a person decides there."""

from __future__ import annotations

from html import unescape
from typing import TYPE_CHECKING

import pytest

from server.kernel.ids import show
from server.sdk import Permanent
from tests.flows.running import Flowing
from tests.flows.test_engine import do
from tests.support.oncall import new_token, pages_app, press, sign_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

    from tests.support.product import Product

SHOWN = "<script>alert(1)</script>\u202e"


@pytest.fixture
def flows(product: Product) -> Iterator[Flowing]:
    flowing = Flowing(product)
    yield flowing
    flowing.close()


@pytest.fixture
def browser(flows: Flowing) -> FlaskClient:
    client = pages_app(flows.product).test_client()
    assert sign_in(client, new_token(flows.product)).status_code == 303
    return client


def test_nothing_is_declared_yet(browser: FlaskClient) -> None:
    assert "crossdock new flow" in browser.get("/flows").text


def test_a_run_asks_is_answered_and_shows_its_steps(flows: Flowing, browser: FlaskClient) -> None:
    ask = {"id": "ok", "approve": {"message": "Ship {{ data.n }}?"}}
    flow = flows.flow("f", [do("a"), ask, {"id": "b", "choose": [{"when": "data.n == 'y'", "steps": [do("c")]}]}])
    run = flows.start(flow, {"n": SHOWN})
    flows.until(run, lambda row: row.state == "waiting")
    path = f"/flow-runs/{show('run', run)}"
    page = browser.get(path)
    assert 'http-equiv="refresh" content="5"' in page.text
    assert "<script>" not in page.text
    assert "is-waiting" in page.text
    assert "Ship <script>alert(1)</script>" in unescape(page.text)
    page = press(browser, page, f"{path}/decide/ok", decision="approve", comment="go")
    assert "Approved: the run goes on." in page.text
    flows.ended(run)
    text = unescape(browser.get(path).text)
    for words in ("completed", "erp.thing.do", '"of": "a"', "Approved by", ": <bdi>go", "class s_a done", "version 1"):
        assert words in text, words
    listed = browser.get("/flows/f").text
    assert path in listed
    assert "is-done" not in listed, "the picture of the flow itself has no states"
    assert path in browser.get("/flows").text


def test_a_failed_run_is_retried_from_its_page(flows: Flowing, browser: FlaskClient) -> None:
    flows.pretend.fails["thing.do"] = [Permanent(SHOWN, code="NO", source="erp")]
    row = flows.run([do("a", on_error="fail")])
    path = f"/flow-runs/{show('run', row.id)}"
    page = browser.get(path)
    assert "<script>" not in page.text
    assert "Undo it" in page.text
    assert path in browser.get("/dead-letters").text
    page = press(browser, page, f"{path}/retry")
    assert "The run goes on." in page.text
    assert flows.ended(row.id).state == "completed"
    assert "Retry</button>" not in browser.get(path).text


def test_the_first_page_leads_to_what_needs_a_person(flows: Flowing, browser: FlaskClient) -> None:
    asking = flows.start(
        flows.flow("ask", [{"id": "ok", "approve": {"message": "May {{ data.n }} go?"}}]), {"n": "SO-1"}
    )
    flows.until(asking, lambda row: row.state == "waiting")
    flows.pretend.fails["thing.do"] = [Permanent("no", code="NO", source="erp", sku="A-1")]
    failed = flows.ended(flows.start(flows.flow("fails", [do("a", on_error="fail")])))
    first = browser.get("/").text
    for run, words in ((asking, "asks: "), (failed.id, ">failed<")):
        assert f"/flow-runs/{show('run', run)}" in first
        assert words in first
    assert "May SO-1 go?" in first
    assert "<dd><bdi>A-1</bdi></dd>" in browser.get(f"/flow-runs/{show('run', failed.id)}").text
    letters = browser.get("/dead-letters?webhook=flow/fails")
    assert 'webhook=flow/fails"' in browser.get("/flows").text
    assert "The run goes on" not in letters.text
    page = press(browser, letters, "/dead-letters/retry-all", webhook="flow/fails")
    assert "1 dead letters are due again." in page.text
    assert flows.ended(failed.id).state == "completed"


def test_what_cannot_be_is_not_there(flows: Flowing, browser: FlaskClient) -> None:
    assert browser.get("/flows/none").status_code == 404
    assert browser.get("/flow-runs/run_" + "0" * 26).status_code == 404
    assert browser.get("/flow-runs/x").status_code == 404
    assert browser.get("/flows?cursor=x").status_code in (400, 422)
    assert flows
