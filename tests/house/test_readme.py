"""The README's tour works word for word: every command runs in order, and prints what the page says it prints.

Ids, times, ports and secrets differ from run to run, so both sides are masked; everything else must be equal.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
MASKS = [
    (re.compile(r"\b(evt|dlv|att|msg|dead|tok|cor|req|run)_[0-9a-z]{20,}\b"), r"\1_…"),
    (re.compile(r"\b(ord|mo|inv|pck|shp)_[0-9a-f]{32}\b"), r"\1_…"),
    (re.compile(r"\d+\.\d+ +[#.]{24}"), "SECONDS BAR"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? ms\b"), "N ms"),
    (re.compile(r'"timings":\{[^}]*\}'), '"timings":{}'),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"[ \t]+"), " "),
    (re.compile(r"-{3,}"), "---"),
]


def commands() -> list[tuple[str, str]]:
    """Return (command, output) of every console block, in order."""
    found: list[tuple[str, list[str]]] = []
    for block in BLOCK.findall((ROOT / "README.md").read_text("utf-8")):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.startswith("> ") and found and not found[-1][1]:
                found[-1] = (f"{found[-1][0]}\n{line[2:]}", [])
            else:
                found[-1][1].append(line)
    return [(command, "\n".join(output)) for command, output in found]


def masked(text: str) -> list[str]:
    for pattern, replacement in MASKS:
        text = pattern.sub(replacement, text)
    return [line.strip() for line in text.strip().splitlines()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.timeout(300)
def test_the_tour_prints_what_it_says(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs" / "tour", tmp_path / "docs" / "tour")
    port, receiver, api = free_port(), free_port(), free_port()
    environment = {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CROSSDOCK_", "DATABASE", "REDIS"))
        },
        "CROSSDOCK_HOME": str(tmp_path / ".crossdock"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }
    up = subprocess.Popen(
        ["crossdock", "up", "--port", str(port), "--definitions", str(ROOT / "definitions")],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert up.stdout is not None
        until = time.monotonic() + 120
        lines = []
        while time.monotonic() < until and not any("ready at" in line for line in lines):
            lines.append(up.stdout.readline())
        assert any("ready at" in line for line in lines), "".join(lines)
        shell = _Shell(tmp_path, environment)
        for command, expected in commands():
            if command == "make up":
                continue
            here = (
                command.replace("9099", str(receiver))
                .replace("9098", str(api))
                .replace("127.0.0.1:8080", f"127.0.0.1:{port}")
            )
            output = shell.run(here)
            if expected:
                assert masked(output) == masked(expected), command
        shell.close()
    finally:
        up.terminate()
        up.wait(30)


class _Shell:
    """One shell for the whole tour, so that variables and background jobs live on."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str) -> str:
        """Run a command; fail when it does."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f'{command}\necho "--done $?--"\n')
        self.process.stdin.flush()
        output = []
        for line in self.process.stdout:
            found = re.search(r"--done (\d+)--", line)
            if found:
                assert found[1] == "0", f"{command}\n{''.join(output)}"
                return "".join(output) + line[: found.start()]
            output.append(line)
        raise AssertionError(f"the shell ended at: {command}\n{''.join(output)}")

    def close(self) -> None:
        """End the shell and what it left in the background."""
        self.process.communicate("kill $(jobs -p) 2>/dev/null; exit 0\n", timeout=10)
