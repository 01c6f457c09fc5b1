from __future__ import annotations

import configparser
import dataclasses
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from server.cli.main import root
from server.config import Settings
from server.telemetry.metrics import FOLDER_VARIABLE

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
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


def test_the_containers_are_given_every_setting_of_a_server() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yml").read_text("utf-8"))
    of_the_command_line = {"CROSSDOCK_URL", "CROSSDOCK_TOKEN"}
    of_a_folder = {"CROSSDOCK_HOME"}  # containers keep nothing
    known = {each.metadata["name"] for each in dataclasses.fields(Settings)} - of_the_command_line - of_a_folder
    assert known <= set(compose["x-role"]["environment"])


def test_the_containers_database_has_room_for_what_runs() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yml").read_text("utf-8"))
    found = re.search(r"max_connections=(\d+)", " ".join(compose["services"]["database"]["command"]))
    room, processes = int(found[1]) if found else 0, int(compose["services"]["api"]["command"][-1])
    shown = re.search(r"count (\d+) for each API process, (\d+) for each worker", OPERATIONS)
    assert shown is not None, "the handbook says how many"
    api, other = int(shown[1]), int(shown[2])
    assert processes * api + (4 + 2) * other <= room, "as the handbook scales it"


def test_the_example_names_settings_that_there_are() -> None:
    named = re.findall(r"^([A-Z_]+)=", (ROOT / "deploy" / "crossdock.env").read_text("utf-8"), re.MULTILINE)
    known = {each.metadata["name"] for each in dataclasses.fields(Settings)} | {FOLDER_VARIABLE}
    assert set(named) <= known
    assert {"DATABASE_URL", "REDIS_URL", "CROSSDOCK_KEYS"} <= set(named)
