"""The tree of commands: every one explains itself, the page is made of it, and it answers at once."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest

from server.cli.exits import MEANING
from server.cli.main import root
from server.cli.reference import FILE, commands, reference

COMMANDS = dict(commands())
LISTINGS = {path for path in COMMANDS if path.split()[-1] in ("list", "history", "attempts", "audit", "versions")}
SILENT = {"crossdock up", "crossdock api", "crossdock worker", "crossdock scheduler", "crossdock schema"}
"""They run until they are stopped, or write a document of a fixed form."""


def flags(command):
    return {name for each in command.params for name in each.opts}


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_explains_itself_and_its_options(path):
    command = COMMANDS[path]
    assert command.help
    assert command.help.strip().split("\n")[0].endswith((".", ":")) or "\n" in command.help
    assert [each.name for each in command.params if isinstance(each, click.Option) and not each.help] == []


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_that_answers_takes_json(path):
    assert ("--json" in flags(COMMANDS[path])) == (path not in SILENT)


def test_there_are_listings():
    assert len(LISTINGS) > 10


@pytest.mark.parametrize("path", sorted(LISTINGS))
def test_every_listing_takes_json_and_pages(path):
    assert {"--json", "--limit", "--cursor", "--all"} <= flags(COMMANDS[path])


@pytest.mark.parametrize("path", COMMANDS)
def test_help_is_shown_without_any_server(cli, path):
    assert cli.ok(*path.split()[1:], "--help").startswith("Usage: ")


def test_the_page_is_made_of_the_tree():
    page = Path(__file__).parents[2] / FILE
    assert page.read_text("utf-8") == reference(), "run: python -m server.cli.reference > docs/cli.md"


def test_the_page_has_every_exit_code():
    assert all(f"| {code.value} | {meaning} |" in reference() for code, meaning in MEANING.items())


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("send",), ("events", "--limit", "0"), ("token", "create", "--role", "god")]
)
def test_a_wrong_command_line_ends_with_2_and_says_how_it_is_used(cli, arguments):
    result = cli(*arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr


def test_a_noun_without_a_verb_lists(cli):
    assert cli("deliveries", "--state", "pending").stderr == cli("deliveries", "list", "--state", "pending").stderr


def test_it_runs_as_a_program():
    ended = subprocess.run(
        [sys.executable, "-m", "server.cli.main", "version"], capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith("crossdock ")


def test_a_reader_that_goes_away_is_no_failure():
    command = f"{sys.executable} -m server.cli.main schema --reference | head -1; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_help_comes_at_once():
    """Measured in seconds of the processor, which do not depend on who else works on the machine."""

    def seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "server.cli.main", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.3


def test_help_imports_nothing_heavy():
    heavy = {
        "flask",
        "sqlalchemy",
        "requests",
        "structlog",
        "rich",
        "marshmallow",
        "psycopg",
        "yaml",
        "server.bootstrap",
    }
    script = "import sys, server.cli.main; print('\\n'.join(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert heavy & set(ended.stdout.split()) == set()


def test_the_root_has_every_command_once():
    assert len(root.commands) == len({id(each) for each in root.commands.values()})
