"""Doctor: what is wrong, and the way out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from server import bootstrap
from server.access.keyring import new_key
from server.config import Settings
from server.operations.doctor import examine
from server.store import processes
from server.store.processes import Process

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.product import Product


def test_a_sound_installation_passes_but_for_what_the_machine_lacks(
    product: Product, redis_url: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    with product.core.engine.connect() as conn:
        processes.seen(conn, Process("worker"))
        processes.seen(conn, Process("scheduler"))
        durable = conn.exec_driver_sql("SELECT current_setting('fsync')").scalar()
    found = {
        each.name: each for each in examine(replace(product.settings, home=tmp_path), product.core.engine, redis_url)
    }
    unwell = {name for name, each in found.items() if each.status != "pass"} - {"disk", "memory"}
    assert unwell == ({"database"} if durable == "off" else set())
    assert {each.name for each in found.values() if each.status == "pass" and each.way_out} == set()
    assert list(found) == [
        *(
            "python",
            "home",
            "disk",
            "memory",
            "keys",
            "networks",
            "database",
            "schema",
            "partitions",
            "secrets",
            "clock",
        ),
        *("workers", "scheduler", "queue", "redis"),
    ]


def test_everything_that_is_wrong_has_a_way_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    settings = Settings(
        home=tmp_path,
        keys="k1:short",
        allow_networks=("0.0.0.0/0",),
        database_url="postgresql+psycopg://nobody:hunter2@127.0.0.1:1/none",
    )
    core = bootstrap.core(replace(settings, keys=new_key("k1")))
    found = {each.name: each for each in examine(settings, core.engine, "redis://127.0.0.1:1/0")}
    wrong = {name: each for name, each in found.items() if each.status != "pass"}
    assert set(wrong) >= {
        "home",
        "keys",
        "networks",
        "database",
        "schema",
        "secrets",
        "clock",
        "workers",
        "queue",
        "redis",
    }
    assert all(each.way_out for each in wrong.values())
    assert "hunter2" not in str(found)


def test_without_a_database_it_says_how_to_get_one(tmp_path: Path) -> None:
    found = {each.name: each for each in examine(Settings(home=tmp_path / "new"), None, "")}
    assert "crossdock up" in found["database"].way_out
    assert found["keys"].status == "warn"
    assert found["home"].status == "pass"


def test_a_secret_whose_key_is_lost_is_found(product: Product) -> None:
    product.webhook("orders", "http://127.0.0.1:9/")
    settings = replace(product.settings, keys=new_key("k2"))
    found = {each.name: each for each in examine(settings, product.core.engine, "")}
    assert found["secrets"].status == "fail"
    assert "k1" in found["secrets"].message


@pytest.mark.parametrize("networks", [("10.0.0.0/33",), ("nonsense",)])
def test_a_network_that_is_none_is_said(networks: tuple[str, ...], tmp_path: Path) -> None:
    found = {each.name: each for each in examine(Settings(home=tmp_path, allow_networks=networks), None, "")}
    assert found["networks"].status == "fail"
