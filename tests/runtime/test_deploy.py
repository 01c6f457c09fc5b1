from __future__ import annotations

import configparser
import dataclasses
import re
import shlex
from pathlib import Path

import click
import pytest

from server.cli.main import root
from server.config import Settings
from server.telemetry.metrics import FOLDER_VARIABLE

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))


def lines(unit: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit.read_text("utf-8"))
    return parser


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_runs_commands_that_there_are(unit: Path) -> None:
    service = lines(unit)["Service"]
    for key in ("ExecStartPre", "ExecStart"):
        if key not in service:
            continue
        program, *arguments = shlex.split(service[key])
        assert program == "/opt/crossdock/.venv/bin/crossdock"
        command: click.Command = root
        while isinstance(command, click.Group):
            command = command.commands[arguments.pop(0)]
        command.make_context(command.name, arguments)
    assert int(service["TimeoutStopSec"]) >= 20
    assert service["EnvironmentFile"] == "/etc/crossdock.env"


def test_there_is_a_unit_for_each_role() -> None:
    assert [unit.name for unit in UNITS] == [
        "crossdock-api.service",
        "crossdock-scheduler.service",
        "crossdock-worker@.service",
    ]


def test_the_example_names_settings_that_there_are() -> None:
    named = re.findall(r"^([A-Z_]+)=", (ROOT / "deploy" / "crossdock.env").read_text("utf-8"), re.MULTILINE)
    known = {each.metadata["name"] for each in dataclasses.fields(Settings)} | {FOLDER_VARIABLE}
    assert set(named) <= known
    assert {"DATABASE_URL", "REDIS_URL", "CROSSDOCK_KEYS"} <= set(named)
