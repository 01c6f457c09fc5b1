"""The alert rules that we ship: they parse, they name figures that /metrics has, and the handbook explains each."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from sqlalchemy import text

from server import bootstrap
from server.flows.metrics import ENDED
from server.kernel.ids import new_uuid
from server.operations import metrics
from server.syncs.aggregate import SyncJob
from server.syncs.repository import SYNC_JOBS
from tests.support.product import Product, until
from tests.support.receiver import Answer, Receiver

if TYPE_CHECKING:
    from server.telemetry.metrics import Sample

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text("utf-8"))
ALERTS: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]


def figures(product: Product, redis: bool | None = None) -> list[Sample]:
    return list(metrics.Backlog(product.core.engine, None if redis is None else lambda: redis)())


def ages(product: Product) -> dict[tuple[str, str], float]:
    found = [(labels, value) for gauge, labels, value in figures(product) if gauge is metrics.WEBHOOK_AGE]
    return {(labels["workspace"], labels["webhook"]): value for labels, value in found}


def test_every_figure_that_a_rule_names_is_in_the_metrics_with_the_labels_that_it_uses(product: Product) -> None:
    product.webhook("orders", "http://127.0.0.1:9/")
    product.publish({"n": 1})
    ENDED.add(workspace="default/default", flow="f", state="completed")
    backlog = metrics.Backlog(product.core.engine, lambda: True)
    shown = metrics.render(backlog).decode()
    for rule in ALERTS:
        names = set(re.findall(r"\b(crossdock_\w+|up)\b", rule["expr"]))
        assert names, rule["alert"]
        for name in names - {"up"}:  # Prometheus' own: whether a scrape got through
            assert re.search(rf"^{name}(?:\{{|\s)", shown, re.MULTILINE), f"{rule['alert']}: {name}"
        labels = {label for match in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in match.split(", ")}
        for name in names - {"up"}:
            [series, *_] = re.findall(rf"^{name}\{{(.*)\}}", shown, re.MULTILINE)
            assert labels <= {pair.split("=")[0] for pair in series.split(",")}, rule["alert"]
        chosen = re.findall(r"(crossdock_\w+)\{(\w+=\"\w+\")\}", rule["expr"])
        assert all(f"{name}{{{pair}}}" in shown for name, pair in chosen), rule["alert"]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_a_rule_is_whole_and_stands_in_the_handbook(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]
    assert re.fullmatch(r"\d+m", rule.get("for", "1m"))
    assert rule["expr"].count("(") == rule["expr"].count(")")
    assert f"`{rule['alert']}`" in (ROOT / "docs" / "operations.md").read_text("utf-8")


@pytest.mark.parametrize(
    "needed",
    [
        "crossdock_webhook_backlog_age_seconds",
        "crossdock_dead_letters_open",
        "crossdock_breakers_open",
        'crossdock_processes{role="worker"}',
        'crossdock_part_up{part="database"}',
        'crossdock_part_up{part="redis"}',
    ],
)
def test_what_must_not_go_unnoticed_has_a_rule(needed: str) -> None:
    assert [rule for rule in ALERTS if needed in rule["expr"]]


def test_the_age_of_a_backlog_is_that_of_the_oldest_delivery_that_is_still_tried(
    product: Product, receiver: Receiver
) -> None:
    other = product.workspace("other", "main")
    receiver.answer = lambda hit: Answer(503 if hit.path == "/slow" else 204)
    product.webhook("slow", receiver.url + "/slow", retry={"schedule": ["1h"], "jitter": 0})
    product.webhook("quick", receiver.url + "/quick")
    product.webhook("slow", receiver.url, other)
    product.publish({"n": 1})
    with product.worker():
        until(lambda: product.states() == {"pending": 1, "delivered": 1})
        until(
            lambda: product.rows("SELECT 1 FROM due WHERE kind = 'delivery' AND due_at > now() + interval '30 minutes'")
        )
    until(lambda: ages(product)["default/default", "slow"] > 1)
    product.publish({"n": 2})
    assert set(ages(product)) == {("default/default", "slow"), ("default/default", "quick")}
    assert ages(product)["default/default", "slow"] > 1 > ages(product)["default/default", "quick"]
    product.act("slow", "pause")
    product.publish({"n": 3})
    with product.core.engine.engine.begin() as conn:
        conn.execute(text("UPDATE due SET due_at = 'infinity'"))
    assert ages(product) == {}, "what is held, or waits for its order, is not a backlog"


def test_the_series_of_a_workspace_are_bounded_and_crowd_out_no_other(product: Product) -> None:
    other = product.workspace("other", "main")
    for n in range(25):
        product.webhook(f"hook-{n}", "http://127.0.0.1:9/")
    product.webhook("young", "http://127.0.0.1:9/", other)
    product.publish({"n": 1})
    product.publish({"n": 1}, scope=other)
    found = ages(product)
    assert len(found) == 21
    assert ("other/main", "young") in found


def test_webhooks_that_fail_or_are_disabled_are_counted(product: Product) -> None:
    for name, action in (("a", "fail"), ("b", "disable"), ("c", "pause")):
        product.webhook(name, "http://127.0.0.1:9/")
        product.act(name, action)
    assert [value for gauge, _, value in figures(product) if gauge is metrics.UNWELL] == [2.0]


def test_sync_jobs_that_fail_are_counted(product: Product) -> None:
    job = SyncJob(new_uuid())
    job.create("customers", {"name": "customers"}, 1, {})
    job.activate()
    job.act("fail", "the run failed")
    with product.tx() as tx:
        SYNC_JOBS.add(tx, job)
    assert [value for gauge, _, value in figures(product) if gauge is metrics.JOBS_UNWELL] == [1.0]


@pytest.mark.parametrize(("redis", "shown"), [(None, {"database": 1.0}), (False, {"database": 1.0, "redis": 0.0})])
def test_what_answers_is_shown(product: Product, redis: bool | None, shown: dict[str, float]) -> None:
    assert {
        labels["part"]: value for gauge, labels, value in figures(product, redis) if gauge is metrics.PARTS
    } == shown


def test_without_the_database_the_metrics_say_so(product: Product) -> None:
    gone = bootstrap.core(replace(product.settings, database_url="postgresql+psycopg://nobody@127.0.0.1:1/none"))
    assert [(gauge.name, labels, value) for gauge, labels, value in metrics.Backlog(gone.engine, lambda: True)()] == [
        ("crossdock_part_up", {"part": "database"}, 0.0),
        ("crossdock_part_up", {"part": "redis"}, 1.0),
    ]


def test_a_long_question_is_asked_less_often(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    asked = []

    def slow(_conn: Any) -> list[Sample]:
        asked.append(now[0])
        now[0] += 2.0
        return []

    monkeypatch.setattr(metrics, "_ask", slow)
    backlog = metrics.Backlog(product.core.engine, monotonic=lambda: now[0])
    for _ in range(120):
        backlog()
        now[0] += 1.0
    assert asked == [0.0, 42.0, 84.0]
