from __future__ import annotations

import json
import stat
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from server.config import Settings
from server.kernel.errors import Conflict
from server.runtime.home import Home, Run, local_servers

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from server.runtime.home import Home, Run
    home = Home(Path(sys.argv[1]))
    with home.lock():
        if len(sys.argv) > 2:
            home.publish(Run(1, "http://127.0.0.1:8080", sys.argv[2], "redis://nowhere"))
        print("held", flush=True)
        time.sleep(1000)
""")


def hold(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_one_is_told_who_works_there_and_what_to_do(tmp_path: Path) -> None:
    holder = hold(tmp_path, "postgresql+psycopg://x")
    with pytest.raises(Conflict) as caught, Home(tmp_path).lock():
        pass
    holder.kill()
    holder.communicate()
    assert caught.value.code == "HOME_IN_USE"
    assert caught.value.details["pid"] == holder.pid
    assert f"kill {holder.pid}" in caught.value.message
    assert "CROSSDOCK_HOME" in caught.value.message
    assert "http://127.0.0.1:8080" in caught.value.message


def test_a_lock_goes_with_its_process_however_that_ends(tmp_path: Path) -> None:
    holder = hold(tmp_path, "postgresql+psycopg://x")
    assert Home(tmp_path).running() is not None
    holder.kill()
    holder.communicate()
    assert Home(tmp_path).running() is None
    with Home(tmp_path).lock():
        assert not Home(tmp_path).run_file.exists()


def test_the_running_server_is_found_by_a_private_file(tmp_path: Path) -> None:
    home = Home(tmp_path)
    run = Run(7, "http://127.0.0.1:8080", "postgresql+psycopg://a:b@c/d", "unix:///x?db=0", {"api": 8})
    assert home.running() is None
    with home.lock():
        home.publish(run)
        assert stat.S_IMODE(home.run_file.stat().st_mode) == 0o600
        assert json.loads(home.run_file.read_text())["pids"] == {"api": 8}
        assert home.running() == run


def test_a_command_uses_the_servers_of_the_settings(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url="postgresql+psycopg://a", redis_url="redis://b")
    with local_servers(settings) as got:
        assert got is settings


def test_a_command_uses_the_servers_of_the_one_that_runs(tmp_path: Path) -> None:
    holder = hold(tmp_path, "postgresql+psycopg://x")
    with local_servers(Settings(home=tmp_path)) as got:
        assert (got.database_url, got.redis_url) == ("postgresql+psycopg://x", "redis://nowhere")
    holder.kill()
    holder.communicate()


def test_a_command_starts_servers_when_nobody_has_and_the_next_one_waits_for_its_turn(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from server.config import Settings
        from server.runtime.home import local_servers
        with local_servers(Settings(home=Path(sys.argv[1]))) as settings:
            print(settings.database_url, flush=True)
            time.sleep(0.5)
    """)
    both = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    urls = {process.communicate(timeout=60)[0] for process in both}
    assert len(urls) == 1
    assert [process.returncode for process in both] == [0, 0]
    with local_servers(Settings(home=tmp_path)) as settings:
        psycopg.connect(settings.database_url.replace("+psycopg", "")).close()
        url = settings.database_url
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url.replace("+psycopg", ""), connect_timeout=2)


def test_a_command_does_not_wait_for_ever(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    began = time.monotonic()
    with pytest.raises(Conflict), local_servers(Settings(home=tmp_path), wait=0.5):
        pass
    assert 0.5 <= time.monotonic() - began < 5
    holder.kill()
    holder.communicate()


def test_a_home_that_cannot_be_used_is_named_with_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for home in (file, file / "below"):
        with pytest.raises(Conflict, match="CROSSDOCK_HOME") as caught, Home(home).lock():
            pass
        assert caught.value.code == "HOME_UNUSABLE"
        with pytest.raises(Conflict), local_servers(Settings(home=home)):
            pass
