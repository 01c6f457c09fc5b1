"""Exit codes are one table, and an error ends a command alike on this side and over HTTP."""

from __future__ import annotations

import pytest

from server.cli import exits, failing
from server.cli.exits import MEANING, Exit
from server.kernel.errors import CrossdockError
from server.web.problems import STATUS


@pytest.mark.parametrize("kind", STATUS, ids=lambda kind: kind.__name__)
def test_an_error_ends_alike_whether_raised_here_or_answered_over_http(kind):
    assert exits.of_error(kind("why")) == exits.of_status(STATUS[kind])


def test_every_code_says_what_it_means():
    assert list(MEANING) == list(Exit)


@pytest.mark.parametrize(("status", "code"), [(418, Exit.FAILED), (500, Exit.INTERNAL), (599, Exit.INTERNAL)])
def test_a_status_that_nobody_foresaw_has_a_code_too(status, code):
    assert exits.of_status(status) == code


def test_a_place_without_a_code_has_no_empty_parentheses(capsys):
    failing.show(CrossdockError("why", errors=[{"pointer": "/a", "message": "is wrong"}]))
    assert capsys.readouterr().err.splitlines()[1] == "  /a: is wrong"
