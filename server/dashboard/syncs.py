"""Sync jobs: what each does, its runs, and one run with its progress and the records that were refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, render_template, request, url_for

from server.authoring import crud
from server.dashboard import sync_queries
from server.dashboard.listing import PAGE, argument, back, before, identity, turns
from server.kernel.errors import NotFound
from server.kernel.ids import show
from server.kernel.lifecycle import RUN_BY_HAND
from server.syncs import run_schemas, runs_api
from server.syncs.refused import KIND
from server.syncs.repository import SYNC_JOBS
from server.syncs.runs import UNDER_WAY, start_run
from server.syncs.why import people
from server.web import current, paging
from server.web.permissions import requires
from server.webhooks import usecases

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from werkzeug.wrappers import Response

    from server.kernel.lifecycle import Action
    from server.queue.dead_letters import Reopen
    from server.store import Store

REFRESH_SECONDS = 5
"""How often the page of a run that is under way asks for itself."""
ACTIONS: dict[str, Action] = {"pause": "pause", "resume": "resume", "activate": "activate"}
_JOBS = "sync-jobs"
_RUNS = "sync-runs"
_REFUSED = "sync-refused"


def add(pages: Blueprint, store: Store, hint: Callable[[], None], reopens: Mapping[str, Reopen]) -> None:
    """Add the pages."""
    _reading(pages, store)
    _acting(pages, store, hint, reopens)


def _reading(pages: Blueprint, store: Store) -> None:
    @pages.get("/sync-jobs")
    @requires("deliveries:read")
    def sync_jobs() -> str:
        text = argument("cursor", 2000)
        after = str(paging.read(text, _JOBS, str)[0]) if text else ""
        with store.begin(current.scope(), current.cause()) as tx:
            found = sync_queries.jobs(tx, after, PAGE + 1)
            last = {each.id: runs_api.shown_run(tx, each.last) for each in found[:PAGE] if each.last is not None}
        more = None
        if len(found) > PAGE:
            more = url_for("dashboard.sync_jobs", cursor=paging.write(_JOBS, [found[PAGE - 1].name]))
        at_work = any(each["state"] in UNDER_WAY for each in last.values())
        return render_template(
            "dashboard/sync_jobs.html", jobs=found[:PAGE], last=last, more=more, refresh=_refresh(at_work=at_work)
        )

    @pages.get("/sync-jobs/<name>")
    @requires("deliveries:read")
    def sync_job(name: str) -> str:
        with store.begin(current.scope(), current.cause()) as tx:
            job = SYNC_JOBS.get(tx, name)
            rows = runs_api.page(tx, job.id, before(_RUNS), PAGE + 1)
        shown = [run_schemas.shown(row) for row in rows[:PAGE]]
        return render_template(
            "dashboard/sync_job.html",
            job=job,
            runnable=job.state in RUN_BY_HAND,
            actions=[each for each in job.allowed() if each in ACTIONS and (each, job.state) != ("activate", "draft")],
            runs=shown,
            name=name,
            refresh=_refresh(at_work=any(each["state"] in UNDER_WAY for each in shown)),
            **turns(rows, _RUNS, name=name),
        )

    @pages.get("/sync-runs/<run_id>")
    @requires("deliveries:read")
    def sync_run(run_id: str) -> str:
        key = identity("run", run_id)
        with store.begin(current.scope(), current.cause()) as tx:
            run = runs_api.shown_run(tx, key)
            job = sync_queries.job_of(tx, key)
            rows = sync_queries.refused(tx, job, key, KIND, before(_REFUSED), PAGE + 1) if job else []
        is_under_way = run["state"] in UNDER_WAY
        return render_template(
            "dashboard/sync_run.html",
            run=run,
            under_way=is_under_way,
            refused=[_refused(row) for row in rows[:PAGE]],
            refresh=_refresh(at_work=is_under_way),
            **turns(rows, _REFUSED, run_id=run_id),
        )


def _acting(pages: Blueprint, store: Store, hint: Callable[[], None], reopens: Mapping[str, Reopen]) -> None:
    @pages.post("/sync-jobs/<name>/run")
    @requires("syncs:operate")
    def run_sync_job(name: str) -> Response:
        with store.begin(current.scope(), current.cause()) as tx:
            job = SYNC_JOBS.get(tx, name)
            run = show("run", start_run(tx, job, "person", hint))
            job.trigger(tx.cause.principal, run)
            SYNC_JOBS.save(tx, job)
        return back("sync_run", "run-started", run_id=run)

    @pages.post("/sync-jobs/<name>/<action>")
    @requires("syncs:operate")
    def move_sync_job(name: str, action: str) -> Response:
        if action not in ACTIONS:
            raise NotFound("there is no such action here", source="dashboard")
        with store.begin(current.scope(), current.cause()) as tx:
            crud.act(tx, "SyncJob", name, ACTIONS[action], lambda _version: None, "on the dashboard")
        return back("sync_job", f"sync-{action}", name=name)

    @pages.post("/sync-runs/<run_id>/cancel")
    @requires("syncs:operate")
    def cancel_run(run_id: str) -> Response:
        with store.begin(current.scope(), current.cause()) as tx:
            runs_api.cancel(tx, identity("run", run_id), hint)
        return back("sync_run", "run-cancelled", run_id=run_id)

    @pages.post("/sync-runs/<run_id>/replay/<letter_id>")
    @requires("deliveries:retry")
    def replay_record(run_id: str, letter_id: str) -> Response:
        key = identity("run", run_id)
        with store.begin(current.scope(), current.cause()) as tx:
            runs_api.shown_run(tx, key)
            count = usecases.retry_dead_letters(tx, [identity("dead", letter_id)], dict(reopens))
        return back("sync_run", "record-replayed" if count else "was-resolved", run_id=run_id)


def _refresh(*, at_work: bool) -> int | None:
    """Let the page ask for itself while something moves, unless the reader stopped it."""
    return REFRESH_SECONDS if at_work and request.args.get("refresh") != "0" else None


def _refused(row: Any) -> dict[str, Any]:
    return {
        **row._mapping,  # noqa: SLF001 - SQLAlchemy's documented way to a mapping
        "key": None if row.key is None else people(row.key),
        "letter": None if row.letter is None else show("dead", row.letter),
    }
