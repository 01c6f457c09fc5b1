from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest
import redis

from server.kernel.errors import Unavailable
from server.runtime.embedded import EmbeddedPostgres, EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.runtime.server import EmbeddedServer


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="crossdock-test-") as name:
        yield Path(name)


def alive(pid: int) -> bool:
    """Zombies have ended; that nobody in this container collects them is not our affair."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_dead(pids: list[int], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < until, f"still alive: {[pid for pid in pids if alive(pid)]}"
        time.sleep(0.02)


def pids_in(server: EmbeddedServer) -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter(["name"])  # asked for here, so that one that ends meanwhile is passed over
        if process.info["name"] in server.programs and at(process) == server.data
    ]


def at(process: psutil.Process) -> Path | None:
    try:
        return Path(process.cwd())
    except (psutil.Error, OSError):
        return None


def started_by_another(kind: str, folder: Path) -> subprocess.Popen[str]:
    """Start the server in a process of its own, which can be killed, and return that process."""
    program = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from server.runtime.embedded import {kind}
        print({kind}(Path(sys.argv[1])).start(), flush=True)
        time.sleep(1000)
    """)
    process = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def run_sql(server: EmbeddedPostgres, statement: str) -> list[tuple[object, ...]]:
    with server.connect("crossdock") as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_postgres_keeps_its_data_port_and_password_over_a_restart(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg")
    url = server.start()
    run_sql(server, "CREATE TABLE kept AS SELECT 1 AS one")
    server.stop()
    assert pids_in(server) == []
    assert server.start() == url
    assert run_sql(server, "SELECT one FROM kept") == [(1,)]
    server.stop()


def test_postgres_runs_with_the_settings_that_durability_needs(postgres_server: EmbeddedPostgres) -> None:
    rows = run_sql(postgres_server, "SELECT name, setting FROM pg_settings")
    settings = {str(name): value for name, value in rows}
    wanted = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "jit": "off", "TimeZone": "UTC"}
    assert {name: settings[name] for name in wanted} == wanted
    assert settings["max_connections"] == "200"
    assert settings["listen_addresses"] == "127.0.0.1"


def test_postgres_asks_for_the_password_and_keeps_it_private(postgres_server: EmbeddedPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres_server.url.replace("+psycopg", "").replace(postgres_server.password, "wrong"))
    assert stat.S_IMODE((postgres_server.folder / "password").stat().st_mode) == 0o600
    assert stat.S_IMODE(postgres_server.data.stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedRedis])
def test_a_server_ends_when_its_parent_is_killed(folder: Path, kind: type[EmbeddedServer]) -> None:
    parent = started_by_another(kind.__name__, folder / "x")
    server = kind(folder / "x")
    pids = pids_in(server)
    assert pids
    parent.kill()
    parent.communicate()
    wait_until_dead(pids)
    server.start()
    assert server.pid is not None
    server.stop()


def test_postgres_starts_again_after_everything_was_killed(folder: Path) -> None:
    parent = started_by_another("EmbeddedPostgres", folder / "pg")
    server = EmbeddedPostgres(folder / "pg")
    run_sql(server, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    pids = [*pids_in(server), parent.pid]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    parent.communicate()
    server.start()
    assert run_sql(server, "SELECT count(*) FROM kept") == [(1000,)]
    server.stop()


def test_redis_starts_again_after_everything_was_killed(folder: Path) -> None:
    parent = started_by_another("EmbeddedRedis", folder / "redis")
    server = EmbeddedRedis(folder / "redis")
    with redis.Redis.from_url(server.url) as client:
        client.set("kept", "yes")
        time.sleep(1.5)  # appendfsync everysec
    for pid in [*pids_in(server), parent.pid]:
        os.kill(pid, signal.SIGKILL)
    parent.communicate()
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.get("kept") == b"yes"
    server.stop()


@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedRedis])
def test_an_orphan_of_an_earlier_run_is_ended_and_replaced(folder: Path, kind: type[EmbeddedServer]) -> None:
    """As on a system that does not end children with their parent: the old server still runs when the new one starts."""
    old, new = kind(folder / "x"), kind(folder / "x")
    old.start()
    new.start()
    assert old.pid is None
    assert new.pid is not None
    new.stop()
    assert pids_in(new) == []


def test_a_stale_pid_file_that_names_a_living_stranger_harms_nobody(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg")
    server.start()
    assert server.child is not None
    server.child.kill()
    server.child.wait()
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines() if pid_file.exists() else []
    stranger = subprocess.Popen(["sleep", "100"])
    pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
    server.start()
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
    server.stop()


def test_postgres_moves_when_its_port_was_taken(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg")
    server.start()
    port = server.port
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        server.start()
        assert server.port != port
        server.stop()


def test_a_half_made_folder_is_made_anew(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg")
    (folder / "pg" / "data.new" / "base").mkdir(parents=True)
    server.start()
    assert run_sql(server, "SELECT 1") == [(1,)]
    server.stop()


def test_a_copy_of_the_folder_is_a_backup(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg")
    server.start()
    run_sql(server, "CREATE TABLE kept AS SELECT 1 AS one")
    server.stop()
    shutil.copytree(folder / "pg", folder / "copy")  # by root, it now belongs to root
    copy = EmbeddedPostgres(folder / "copy")
    copy.start()
    assert run_sql(copy, "SELECT one FROM kept") == [(1,)]
    copy.stop()


def test_a_wrong_password_is_named_and_a_lost_one_is_made_anew(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg")
    server.start()
    server.stop()
    (server.folder / "password").write_text("another")
    with pytest.raises(Unavailable, match="not the password of these data"):
        server.start()
    assert pids_in(server) == []
    (server.folder / "password").unlink()
    server.start()
    assert run_sql(server, "SELECT 1") == [(1,)]
    server.stop()


def test_data_of_another_major_version_is_refused_with_the_way_out(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg")
    server.start()
    server.stop()
    (server.data / "PG_VERSION").write_text("12\n")
    with pytest.raises(Unavailable, match=r"written by PostgreSQL 12.*pg_dump"):
        server.start()


def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg", {"shared_buffers": "lots"})
    with pytest.raises(Unavailable, match="shared_buffers") as caught:
        server.start()
    assert caught.value.code == "EMBEDDED_SERVER_FAILED"


def test_a_home_behind_a_closed_folder_works_for_root_too(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    for server in (EmbeddedPostgres(closed / "pg"), EmbeddedRedis(closed / "redis")):
        server.start()
        server.stop()


def test_a_long_path_works(folder: Path) -> None:
    long = folder / ("a" * 100) / ("b" * 100)
    for server in (EmbeddedPostgres(long / "pg"), EmbeddedRedis(long / "redis")):
        server.start()
        server.stop()
    assert len(os.fsencode(EmbeddedRedis(long / "redis").socket)) <= 107


def test_a_path_with_odd_characters_works(folder: Path) -> None:
    odd = folder / "ä b?c%20#d&'e"
    postgres, cache = EmbeddedPostgres(odd / "pg"), EmbeddedRedis(odd / "redis")
    postgres.start()
    cache.start()
    with redis.Redis.from_url(cache.url) as client:
        assert client.ping()
    postgres.stop()
    cache.stop()


def test_redis_listens_on_a_private_socket_only_and_keeps_what_it_is_told(redis_server: EmbeddedRedis) -> None:
    assert stat.S_IMODE(redis_server.socket.stat().st_mode) == 0o700
    assert stat.S_IMODE(redis_server.socket.parent.stat().st_mode) == 0o700
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert psutil.Process(redis_server.pid).net_connections("inet") == []
