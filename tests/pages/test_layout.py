"""How the pages lie on screens of two widths: nothing scrolls sideways, no word is broken, and what a cell says is beside its label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from server.kernel.ids import new_uuid
from server.syncs.aggregate import SyncJob
from server.syncs.repository import SYNC_JOBS
from server.syncs.runs import start_run
from tests.replays.replaying import HOOK, ask, end, finish
from tests.syncs.running import BODY

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.support.product import Product

pytestmark = [pytest.mark.pages, pytest.mark.timeout(240)]
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 420, "height": 900}
_RUNNING = """UPDATE sync_runs SET state = 'running', started_at = now() - interval '1 hour', progressed_at = now(),
  total = 12345678, read = 1234567, written = 1234567, unchanged = 1234567, deleted = 1234567, refused = 1234567"""
_FAILED = """UPDATE sync_runs SET state = 'failed', ended_at = now(),
  error = '{"code": "SQL_FAILED", "message": "the database of the source answers with an error that takes some room"}'"""


def runs(product: Product) -> None:
    """Make a sync job with a run that has failed after millions of rows, and one that is as far."""
    job = SyncJob(new_uuid())
    job.create("customers", {"name": "customers", **BODY}, 1, {})
    job.activate()
    with product.tx() as tx:
        SYNC_JOBS.add(tx, job)
    for state in (_RUNNING + ";" + _FAILED, _RUNNING + " WHERE ended_at IS NULL"):
        with product.tx() as tx:
            start_run(tx, job, "person", lambda: None)
        with product.core.engine.engine.begin() as conn:
            conn.execute(text(state))


def replays(product: Product) -> None:
    """Make a replay that is done, and one that is not."""
    product.webhook("orders", HOOK)
    product.publish({"n": 1}, {"n": 2})
    end(product)
    ask(product, filter={"webhook": "orders"}, per_second=7)
    finish(product)


def test_on_a_phone_all_of_a_cell_is_beside_its_label(product: Product, signed_in: Page) -> None:
    runs(product)
    replays(product)
    page = signed_in
    page.set_viewport_size(NARROW)
    for path in ("/replays", "/sync-jobs", "/sync-jobs/customers?refresh=0", "/deliveries", "/webhooks", "/"):
        page.goto(path)
        assert page.evaluate(_UNDER_LABELS) == [], path


def test_no_word_or_number_of_ours_is_broken(product: Product, signed_in: Page) -> None:
    runs(product)
    replays(product)
    page = signed_in
    page.set_viewport_size(WIDE)
    for path in ("/sync-jobs/customers?refresh=0", "/sync-jobs", "/replays", "/deliveries", "/webhooks"):
        page.goto(path)
        assert page.evaluate(_BROKEN) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDE["width"], path


def test_the_reference_lies_within_a_phone(page: Page) -> None:
    for size in (NARROW, WIDE):
        page.set_viewport_size(size)
        for path in ("/docs", "/docs/errors"):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], path
    assert page.evaluate(_LINES) == [], "where there is room, no code takes two lines"


_UNDER_LABELS = """() => {
  const under = new Set();
  for (const cell of document.querySelectorAll('.cards td[data-label]')) {
    const edge = cell.getBoundingClientRect().left + 6.5 * parseFloat(getComputedStyle(document.documentElement).fontSize);
    const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const range = document.createRange();
      range.selectNodeContents(walker.currentNode);
      if (walker.currentNode.textContent.trim() && [...range.getClientRects()].some(each => each.width > 1 && each.left < edge))
        under.add(`${cell.dataset.label}: ${walker.currentNode.textContent.trim()}`);
    }
  }
  return [...under];
}"""
_BROKEN = """() => {
  const broken = new Set();
  for (const cell of document.querySelectorAll('.cards td')) {
    const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode;
      if (node.parentElement.closest('bdi, code') || !node.parentElement.checkVisibility()) continue;
      for (const word of node.textContent.matchAll(/[^\\s-]+/g)) {
        const range = document.createRange();
        range.setStart(node, word.index);
        range.setEnd(node, word.index + word[0].length);
        if (new Set([...range.getClientRects()].map(each => Math.round(each.top))).size > 1) broken.add(word[0]);
      }
    }
  }
  return [...broken];
}"""
_LINES = """() => [...document.querySelectorAll('td:first-child > code')]
  .filter(each => each.getClientRects().length > 1).map(each => each.textContent)"""
