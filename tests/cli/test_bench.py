"""`crossdock bench`: measures the user's own server and leaves nothing behind; what hinders it is said at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from werkzeug.serving import make_server

from server import bootstrap
from server.app import create_app
from server.cli import bench_load
from server.cli.bench_shown import buckets, drawn, histogram, quantiles
from server.cli.bench_stage import Stage
from server.cli.client import OverHttp, Rest
from tests.cli.conftest import Cli
from tests.support.product import until

SMALL = ("--rate", "50", "--seconds", "1", "--webhooks", "3")


@pytest.fixture
def url(product, quiet):
    """The address of the product's API."""
    server = make_server("127.0.0.1", 0, create_app(bootstrap.api(product.settings, built=product.core)), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def token(product, role):
    return product.client().post("/api/v1/tokens", json={"name": role, "role": role}).json["token"]


@pytest.fixture
def there(product, url):
    """The command line with an editor's token."""
    return Cli({"CROSSDOCK_URL": url, "CROSSDOCK_TOKEN": token(product, "editor")})


def left(product):
    """What a bench makes and must not leave."""
    names = [row.name for row in product.rows("SELECT name FROM webhooks WHERE deleted_at IS NULL")]
    return names + [row.name for row in product.rows("SELECT name FROM secrets")]


def test_a_run_measures_every_event_and_leaves_nothing(product, there, tmp_path):
    picture = tmp_path / "latency.svg"
    with product.worker():
        found = there.json("bench", *SMALL, "--svg", str(picture))
    assert (found["offered"], found["accepted"], found["received"], found["lost"]) == (50, 50, 50, 0)
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p99"] <= found["latency_ms"]["max"] < 15_000
    assert sum(each["count"] for each in found["histogram"]) == 50
    assert found["per_second"] > 10
    assert picture.read_text().startswith("<svg ")
    assert left(product) == []


def test_a_person_sees_figures_and_a_picture(product, there):
    with product.worker():
        shown = there.ok("bench", *SMALL, "--batch", "5")
    assert "50 of 50 events accepted, 50 received, 0 lost" in shown
    assert "accepted to received" in shown
    assert "█" in shown


def test_without_a_server_the_events_go_in_through_this_process(product):
    settings = product.settings
    env = {
        "DATABASE_URL": settings.database_url,
        "CROSSDOCK_KEYS": settings.keys,
        "CROSSDOCK_ALLOW_NETWORKS": "127.0.0.0/8",
    }
    with product.worker():
        found = Cli(env).json("bench", *SMALL, CROSSDOCK_HOME="/nonexistent")
    assert (found["received"], found["lost"], left(product)) == (50, 0, [])


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code", "said"),
    [
        ((), 6, "BENCH_NO_WORKER", "crossdock worker"),
        (("--receiver", "http://127.0.0.1:1"), 6, "BENCH_UNREACHED", "CONNECT_FAILED"),
        (("--receiver", "http://10.1.2.3:80"), 4, "BENCH_UNREACHED", "CROSSDOCK_ALLOW_NETWORKS"),
    ],
)
def test_what_hinders_a_run_is_said(product, there, monkeypatch, arguments, exit_code, code, said):
    monkeypatch.setattr(bench_load, "PROBE_SECONDS", 2.0)
    if arguments:
        with product.worker():
            result = there("bench", *SMALL, *arguments)
    else:
        result = there("bench", *SMALL)
    assert (result.exit_code, result.stderr.split()[0]) == (exit_code, code), result.stderr
    assert said in result.stderr
    assert left(product) == []


def test_a_role_that_may_not_is_told(product, there):
    result = there("bench", *SMALL, CROSSDOCK_TOKEN=token(product, "viewer"))
    assert (result.exit_code, result.stderr.split()[0]) == (5, "FORBIDDEN")


def test_it_does_not_send_its_events_to_webhooks_of_the_user(product, there, receiver):
    definition = {
        "name": "everything",
        "direction": "outbound",
        "url": receiver.url,
        "events": ["**"],
        "sign": {"scheme": "standard-webhooks", "key": {"secret": "EVERYTHING"}},
    }
    product.client().post("/api/v1/secrets", json={"name": "EVERYTHING", "value": product_secret()})
    assert product.client().post("/api/v1/webhooks", json=definition).status_code == 201
    result = there("bench", *SMALL)
    assert (result.exit_code, result.stderr.split()[0]) == (4, "BENCH_SUBSCRIBED")
    assert "everything" in result.stderr
    assert receiver.hits == []


def product_secret():
    from server.sdk.signing import generate_secret

    return generate_secret()


def test_what_a_killed_run_left_is_removed_on_request(product, there, url):
    rest = Rest(OverHttp(url, there.env["CROSSDOCK_TOKEN"]))
    Stage("0a1b2c3d", rest).make(2, "http://127.0.0.1:9")
    rest.close()
    assert left(product) == ["bench-0a1b2c3d-0", "bench-0a1b2c3d-1", "BENCH_0a1b2c3d"]
    assert there.json("bench", "--clean") == {"removed": ["bench-0a1b2c3d"]}
    assert left(product) == []


def test_ctrl_c_leaves_nothing(product, there):
    command = [sys.executable, "-m", "server.cli.main", "bench", "--seconds", "60", "--rate", "20"]
    with product.worker():
        process = subprocess.Popen(
            command, env=os.environ | there.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        until(lambda: product.states().get("delivered", 0) > 20, 30, "the load")
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=20)[1]
    assert process.returncode == 130, said
    assert left(product) == []


def test_the_distribution_is_counted_in_steps_without_gaps():
    found = buckets([0.0005, 0.0012, 0.0015, 0.03, 12.0])
    assert [(each["from_ms"], each["count"]) for each in found] == [
        *((0.0, 1), (1.0, 2), (2.0, 0), (5.0, 0), (10.0, 0), (20.0, 1), (50.0, 0), (100.0, 0), (200.0, 0)),
        *((500.0, 0), (1000.0, 0), (2000.0, 0), (5000.0, 0), (10_000.0, 1)),
    ]
    assert found[-1]["to_ms"] is None
    lines = histogram(found).splitlines()
    assert len(lines) == len(found)
    assert lines[1].endswith("40.0 %")


def test_nothing_can_be_drawn_too():
    assert (buckets([]), histogram([]), quantiles([])["p99"]) == ([], "nothing came", 0.0)
    empty = {"rate": 1, "seconds": 1, "webhooks": 1, "size": 64, "per_second": 0.0, "lost": 1}
    assert drawn({**empty, "histogram": [], "latency_ms": quantiles([])}).endswith("</svg>\n")


def test_a_quantile_is_a_value_that_was_measured():
    values = [each / 1000 for each in range(1, 102)]
    assert quantiles(values) == {"p50": 51.0, "p95": 96.0, "p99": 100.0, "max": 101.0}


def test_an_event_that_comes_twice_is_counted_once():
    record = bench_load.Record()
    record.due, record.accepted = {0: 1.0}, {0: time.monotonic()}
    record.take(0)
    record.take(0)
    plan = bench_load.Plan(1.0, 1.0, 1, 64, 1, "127.0.0.1", None, disturb=False)
    found = bench_load.figures(plan, record)
    assert (found["received"], found["repeated"], found["lost"]) == (1, 1, 0)
