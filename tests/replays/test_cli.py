"""`crossdock replay`, as a person types it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
import structlog
from click.testing import CliRunner

from server.cli.client import InProcess, Rest
from server.cli.main import root
from server.cli.shell import Shell
from tests.replays.replaying import HOOK, end, finish, made

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result

    from tests.support.product import Product


@pytest.fixture
def two(product: Product) -> Iterator[Product]:
    """Two deliveries that ended; logs stay out of what commands write."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    product.webhook("hook", HOOK)
    product.publish({"n": 1}, {"n": 2})
    end(product)
    yield product
    structlog.reset_defaults()


def cli(product: Product, *arguments: str) -> Result:
    rest = Rest(InProcess(product.client().application))
    return CliRunner().invoke(root, ["replay", *arguments], obj=Shell(given=rest))


def test_a_filter_or_a_delivery_starts_one_and_without_either_they_are_listed(two: Product) -> None:
    counted = cli(two, "--webhook", "hook", "--status", "delivered", "--dry-run")
    assert counted.exit_code == 0, counted.output
    assert counted.stdout.startswith("2 deliveries would be made\n")
    assert json.loads(cli(two, "--json").stdout)["items"] == []
    started = json.loads(
        cli(two, "--webhook=hook", "--rate", "100", "--as-new", "--payload", "current", "--json").stdout
    )
    assert (started["per_second"], started["as_new"], started["payload"]) == (100, True, "current")
    finish(two)
    assert len(made(two)) == 2
    [listed] = json.loads(cli(two, "list", "--json").stdout)["items"]
    assert (listed["id"], listed["done"]) == (started["id"], 2)
    shown = cli(two, "show", started["id"])
    assert "deliveries: " in shown.stdout


def test_one_delivery_by_its_id_paused_resumed_and_cancelled(two: Product) -> None:
    delivery = two.client().get("/api/v1/deliveries").json["items"][0]["id"]
    started = json.loads(cli(two, delivery, "--json").stdout)
    assert started["filter"] == {"deliveries": [delivery]}
    for action, state in (("pause", "paused"), ("resume", "counting"), ("cancel", "cancelled")):
        assert json.loads(cli(two, action, started["id"], "--json").stdout)["state"] == state
    refused = cli(two, "resume", started["id"])
    assert (refused.exit_code, refused.stderr.split()[0]) == (4, "WRONG_STATE")


def test_waiting_ends_with_the_replay_or_with_the_time_and_says_which(two: Product) -> None:
    started = cli(two, "--webhook", "hook", "--wait", "0s")
    assert started.exit_code == 8
    assert "still at work after 0 s" in started.stderr
    finish(two)
    [row] = json.loads(cli(two, "--json").stdout)["items"]
    assert cli(two, "show", row["id"], "--wait", "10s").exit_code == 0


def test_what_is_wrong_is_said_with_its_place(two: Product) -> None:
    wrong = cli(two, "--webhook", "none")
    assert wrong.exit_code == 1
    assert wrong.stderr.startswith("REPLAY_REFUSED no webhook none here")
    assert "/filter/webhook" in wrong.stderr
    assert cli(two, "--status", "pending").exit_code == 2
