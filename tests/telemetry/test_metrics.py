from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import uuid
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.telemetry import metrics

if TYPE_CHECKING:
    from pathlib import Path


def name(kind: str) -> str:
    """A metric name that no other test of this process has declared."""
    return f"test_{uuid.uuid4().hex}_{kind}"


def samples(text: bytes) -> dict[tuple[str, str], float]:
    return {
        (each.name, ",".join(each.labels.values())): each.value
        for family in text_string_to_metric_families(text.decode())
        for each in family.samples
    }


def test_a_counter_and_a_histogram_are_shown() -> None:
    count = metrics.counter(name("total"), "Things.", "workspace")
    time = metrics.histogram(name("seconds"), "How long.", "workspace")
    count.add(workspace="a")
    count.add(2, workspace="a")
    time.observe(0.2, workspace="a")
    shown = samples(metrics.render())
    assert shown[count.name, "a"] == 3
    assert shown[f"{time.name}_count", "a"] == 1


def test_a_gauge_is_asked_for_when_it_is_shown() -> None:
    backlog = metrics.gauge(name("due"), "Waiting.", "workspace")
    shown = samples(metrics.render([lambda: [(backlog, {"workspace": "a"}, 7.0), (backlog, {"workspace": "b"}, 8.0)]]))
    assert (shown[backlog.name, "a"], shown[backlog.name, "b"]) == (7, 8)


def test_the_same_declaration_twice_is_one_metric_and_another_is_refused() -> None:
    one = name("total")
    assert metrics.counter(one, "Things.", "a") is metrics.counter(one, "Things.", "a")
    with pytest.raises(ValueError, match="declared twice"):
        metrics.counter(one, "Things.", "b")
    with pytest.raises(ValueError, match="_total"):
        metrics.counter("things", "Things.")


def test_a_forgotten_label_is_an_error() -> None:
    with pytest.raises(KeyError):
        metrics.counter(name("total"), "Things.", "workspace").add()


def test_endless_label_values_do_not_fill_the_memory() -> None:
    count = metrics.counter(name("total"), "Things.", "workspace")
    for number in range(2100):
        count.add(workspace=str(number))
    shown = {key: value for key, value in samples(metrics.render()).items() if key[0] == count.name}
    assert len(shown) == 2001
    assert shown[count.name, "other"] == 100


def test_processes_share_their_figures(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from server.telemetry import metrics
        count = metrics.counter("shared_total", "Things.", "workspace")
        if sys.argv[1] == "show":
            due = metrics.gauge("due", "Waiting.")
            sys.stdout.buffer.write(metrics.render([lambda: [(due, {}, 5.0)]]))
        else:
            count.add(int(sys.argv[1]), workspace="a")
    """)
    metrics.empty_folder(tmp_path / "figures")
    env = os.environ | {metrics.FOLDER_VARIABLE: str(tmp_path / "figures")}

    def run(argument: str) -> bytes:
        return subprocess.run(
            [sys.executable, "-c", program, argument], env=env, check=True, capture_output=True
        ).stdout

    run("1")
    run("2")
    shown = samples(run("show"))
    assert shown["shared_total", "a"] == 3
    assert shown["due", ""] == 5
    metrics.empty_folder(tmp_path / "figures")
    assert ("shared_total", "a") not in samples(run("show"))
