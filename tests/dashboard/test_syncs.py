"""The pages of sync jobs: what each does, its runs, and refused records that are tried again."""

from __future__ import annotations

from contextlib import closing
from html import unescape
from typing import TYPE_CHECKING

import pytest

from server.kernel.ids import show
from server.syncs import engine
from server.syncs.repository import SYNC_JOBS
from server.syncs.runs import start_run
from tests.support.oncall import forms, new_token, pages_app, press, sign_in
from tests.support.product import Product
from tests.syncs.running import Syncing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

    from server.kernel.lifecycle import Action


@pytest.fixture
def syncing(database_url: str, tmp_path: Path) -> Iterator[Syncing]:
    with closing(Syncing(Product(database_url, files=tmp_path), tmp_path)) as made:
        yield made


@pytest.fixture
def browser(syncing: Syncing) -> FlaskClient:
    client = pages_app(syncing.product).test_client()
    assert sign_in(client, new_token(syncing.product)).status_code == 303
    return client


def test_nothing_is_declared_yet(browser: FlaskClient) -> None:
    assert "crossdock new sync" in browser.get("/sync-jobs").text


def test_a_run_is_started_followed_and_its_refused_record_replayed(syncing: Syncing, browser: FlaskClient) -> None:
    syncing.job()
    syncing.put(1, name="<script>alert(1)</script>\u202e")
    syncing.put(2, name=None)
    page = press(browser, browser.get("/sync-jobs/customers"), "/sync-jobs/customers/run")
    assert "The run is queued" in page.text
    assert 'http-equiv="refresh" content="5"' in page.text, "it is under way"
    while syncing.slice():
        pass
    [run] = syncing.product.rows("SELECT id FROM sync_runs")
    path = f"/sync-runs/{show('run', run.id)}"
    page = browser.get(path)
    assert 'http-equiv="refresh"' not in page.text
    text = unescape(page.text)
    for words in ("succeeded", "EXPR_MISSING", "a value is required here", "[2]", '"email": "E2@X"', "version 1"):
        assert words in text
    assert path in browser.get("/dead-letters").text
    syncing.put(2, name="mended")
    [action] = [
        f"{path}/replay/{show('dead', each.id)}" for each in syncing.product.rows("SELECT id FROM dead_letters")
    ]
    assert "The row is read again" in press(browser, page, action).text
    while syncing.slice():
        pass
    assert "mended" in syncing.customers()
    assert "Replay</button>" not in browser.get(path).text
    listed = unescape(browser.get("/sync-jobs").text)
    assert "customers" in listed
    assert "old.query.read" in listed


def test_a_run_under_way_shows_how_far_it_is_and_is_cancelled(
    syncing: Syncing, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SLICE_SECONDS", 0.0)
    job = syncing.job()
    for number in range(40):
        syncing.put(number)
    with syncing.product.tx() as tx:
        run = start_run(tx, job, "person", lambda: None)
    syncing.slice()
    path = f"/sync-runs/{show('run', run)}"
    page = browser.get(path)
    assert "10 of 40" in page.text
    assert '<progress max="100" value="25.0">' in page.text
    assert 'http-equiv="refresh"' not in browser.get(f"{path}?refresh=0").text
    assert "ends at its next step" in press(browser, page, f"{path}/cancel").text
    syncing.slice()
    assert "cancelled" in browser.get(path).text


def test_a_job_is_paused_and_goes_on(syncing: Syncing, browser: FlaskClient) -> None:
    syncing.job()
    page = press(browser, browser.get("/sync-jobs/customers"), "/sync-jobs/customers/pause")
    assert "paused" in page.text
    assert "goes on" in press(browser, page, "/sync-jobs/customers/resume").text


def test_only_what_may_run_offers_a_run(syncing: Syncing, browser: FlaskClient) -> None:
    job = syncing.job()
    page = browser.get("/sync-jobs/customers")
    run = forms(page)["/sync-jobs/customers/run"]
    table: list[tuple[Action, bool]] = [("fail", True), ("pause", True), ("disable", False), ("deactivate", False)]
    for action, offered in table:
        with syncing.product.tx() as tx:
            job = SYNC_JOBS.get(tx, "customers")
            job.act(action)
            SYNC_JOBS.save(tx, job)
        page = browser.get("/sync-jobs/customers")
        assert ("/sync-jobs/customers/run" in forms(page)) is offered, job.state
    assert "A draft does not run" in page.text
    here = {"Referer": "http://localhost/sync-jobs/customers?cursor=&refresh=0&done=sync-pause"}
    answer = browser.post("/sync-jobs/customers/run", data=run, headers=here)
    assert answer.status_code == 409
    assert '<a href="/sync-jobs/customers?refresh=0">Back to where you were</a>' in answer.text


def test_another_workspace_has_no_such_pages(syncing: Syncing) -> None:
    syncing.job()
    syncing.put(1)
    run = syncing.run()
    product = syncing.product
    client = pages_app(product).test_client()
    sign_in(client, new_token(product, scope=product.workspace("default", "other")))
    for path in ("/sync-jobs/customers", f"/sync-runs/{show('run', run.id)}"):
        assert client.get(path).status_code == 404
    assert "customers" not in client.get("/sync-jobs").text


def test_a_job_whose_run_failed_stands_on_the_first_page_with_why(syncing: Syncing, browser: FlaskClient) -> None:
    syncing.job(on_record_error="fail")
    syncing.put(1, name=None)
    assert "Sync jobs that fail" not in browser.get("/").text
    assert syncing.run().state == "failed"
    page = unescape(browser.get("/").text)
    assert "Sync jobs that fail" in page
    assert 'href="/sync-jobs/customers"' in page
    assert "failing" in page
    syncing.put(1, name="mended")
    assert syncing.run().state == "succeeded"
    assert "Sync jobs that fail" not in browser.get("/").text
