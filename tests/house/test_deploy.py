"""What deploy/ says can be done: every command it gives is one of ours, every setting it names is read by somebody."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from server.cli.main import root
from server.config import Settings
from server.telemetry.metrics import FOLDER_VARIABLE

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yml").read_text("utf-8"))
OURS = [name for name, service in COMPOSE["services"].items() if service["image"] == "crossdock"]
SETTINGS = {each.metadata["name"] for each in fields(Settings)} | {FOLDER_VARIABLE, "CROSSDOCK_PROCESS"}
NAMES = re.compile(r"\b(?:CROSSDOCK|OTEL|PROMETHEUS)_[A-Z_]+|\b(?:DATABASE|REDIS)_URL\b")


def instructions() -> list[tuple[str, str]]:
    """Return (word, rest) of every instruction of the Dockerfile."""
    text = (DEPLOY / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def commands() -> list[list[str]]:
    """Return the arguments of every command that the units, the image and the services give to `crossdock`."""
    units = "\n".join(each.read_text("utf-8") for each in sorted((DEPLOY / "systemd").iterdir()))
    found = [shlex.split(each) for each in re.findall(r"^Exec\w+=\S+/crossdock (.*)$", units, re.MULTILINE)]
    found += [yaml.safe_load(rest) for word, rest in instructions() if word == "CMD"]
    return found + [COMPOSE["services"][each]["command"] for each in OURS]


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_every_command_is_one_of_ours(arguments: list[str]) -> None:
    command: click.Command = root
    rest = [str(each) for each in arguments]
    while isinstance(command, click.Group):
        command = command.commands[rest.pop(0)]
    command.make_context("crossdock", rest)


@pytest.mark.parametrize("file", sorted(each.name for each in DEPLOY.iterdir() if each.is_file()))
def test_every_setting_is_read_by_somebody(file: str) -> None:
    assert set(NAMES.findall((DEPLOY / file).read_text("utf-8"))) - SETTINGS == set()


def test_an_image_is_made_of_what_is_there_and_runs_as_nobody_in_particular() -> None:
    found = instructions()
    for word, rest in found:
        if word == "COPY" and not rest.startswith("--from"):
            assert [each for each in rest.split()[:-1] if not (ROOT / each).exists()] == []
    assert all(re.fullmatch(r"\S+:[\w.-]+( AS \w+)?", rest) for word, rest in found if word == "FROM")
    assert all(rest.startswith("/") for word, rest in found if word == "WORKDIR")
    assert [rest for word, rest in found if word == "USER"] == ["crossdock"]
    assert not {"ADD", "MAINTAINER"} & {word for word, _ in found}
    assert all(rest.startswith("[") for word, rest in found if word in {"CMD", "ENTRYPOINT"})


def test_the_services_are_the_roles_and_share_one_key_ring() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"database", "redis", "migrate", "api", "worker", "scheduler"}
    for name in OURS:
        environment = services[name]["environment"]
        assert {"DATABASE_URL", "REDIS_URL", "CROSSDOCK_KEYS"} <= set(environment)
        assert set(services[name]["depends_on"]) <= set(services)
        assert (ROOT / "deploy" / services[name]["build"]["context"]).resolve() == ROOT
    for name, service in services.items():
        assert not service["image"].endswith(":latest"), name
    assert [name for name, service in services.items() if "ports" in service] == ["api"]


def test_what_compose_asks_for_stands_in_the_file_to_fill_in() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yml").read_text("utf-8")))
    given = set(re.findall(r"^(\w+)=", (DEPLOY / "compose.env").read_text("utf-8"), re.MULTILINE))
    assert given <= asked
    assert asked - given <= {"OTEL_EXPORTER_OTLP_ENDPOINT"}
