"""The help of every command ends with an example, and the examples are command lines that this version understands."""

from __future__ import annotations

import shlex

import click
import pytest

from server.cli.examples import EXAMPLES, ROOT, example_of
from server.cli.main import root
from server.cli.reference import commands

COMMANDS = {path.removeprefix("crossdock "): command for path, command in commands()}


def test_every_command_has_one_and_every_one_a_command() -> None:
    assert set(EXAMPLES) == set(COMMANDS)


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_it_is_understood_and_shown(path: str) -> None:
    line = shlex.split(example_of(path))
    assert line[: 1 + len(path.split())] == ["crossdock", *path.split()]
    ends = [each for each in range(len(line)) if line[each] in {"|", "<", ">"}]
    arguments = line[1 + len(path.split()) : ends[0] if ends else None]
    command = COMMANDS[path]
    command.make_context(path, arguments)
    assert f"  {example_of(path)}\n" in command.get_help(click.Context(command, info_name=path)) + "\n"


def test_the_first_help_leads_somewhere() -> None:
    shown = root.get_help(click.Context(root, info_name="crossdock"))
    assert all(example_of(each) in shown for each in ROOT)
