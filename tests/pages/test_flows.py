"""The page of a run in a real browser: a person reads what it asks, approves it, and sees its steps and their graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from server.kernel.ids import show
from tests.flows.running import Flowing
from tests.flows.test_engine import do

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.support.product import Product

pytestmark = [pytest.mark.pages, pytest.mark.timeout(240)]


@pytest.fixture
def flows(product: Product) -> Iterator[Flowing]:
    flowing = Flowing(product)
    yield flowing
    flowing.close()


def test_a_person_approves_what_a_run_asks(flows: Flowing, signed_in: Page) -> None:
    ask = {"id": "allowed", "approve": {"message": "May {{ data.n }} go on?"}}
    branches = {"id": "both", "parallel": {"left": [do("b")], "right": [{"id": "c", "set": {"x": 1}}]}}
    run = flows.start(flows.flow("f", [do("a"), ask, branches]), {"n": "SO-1"})
    flows.until(run, lambda row: row.state == "waiting")
    page = signed_in
    page.get_by_role("link", name="Flows", exact=True).click()
    page.get_by_role("link", name="f", exact=True).click()
    page.get_by_role("link", name=show("run", run)).click()
    expect(page.get_by_text("May SO-1 go on?")).to_be_visible()
    waiting = page.locator("svg.flow rect.is-waiting")
    expect(waiting).to_have_count(1)
    page.get_by_label("Comment").fill("go")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status")).to_contain_text("Approved")
    flows.ended(run)
    page.reload()
    expect(page.locator(".status")).to_contain_text("completed")
    expect(page.locator(".tries > li")).to_have_count(5)
    expect(page.locator("svg.flow rect.is-done")).to_have_count(5)
    page.get_by_text("allowed").first.click()
    expect(page.get_by_text("Approved by")).to_be_visible()
