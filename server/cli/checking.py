"""`crossdock check`, `test` and `schema`: on this machine alone, with no server, database or network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from server.cli import output
from server.cli.exits import Exit
from server.cli.files import Paths, counted, gather_all, local_catalog, show_findings, tally
from server.cli.shell import json_option

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from server.authoring.check import CheckResult
    from server.cli.shell import Shell
    from server.documents.kinds import Outcome


@click.command
@click.argument("paths", cls=Paths)
@json_option
@click.pass_obj
def check(shell: Shell, paths: Sequence[Path]) -> Exit:
    """Check definition files: every error at once, each with file, line and column.

    Errors are written as `file:line:col CODE message (did you mean …?)`; references reach over all the PATHS.
    """
    result, files = _checked(shell, paths)
    findings = [each.as_dict() for each in result.findings]

    def show(_: Any) -> None:
        show_findings(findings)
        output.say(f"{counted(files, 'file')}, {_well(result)}: {tally(findings)}")
        if any(each["code"] == "UNKNOWN_REFERENCE" for each in findings):
            output.note(
                "the files that were named are looked at, alone: `crossdock plan` knows what the workspace has, too"
            )

    shell.result({"findings": findings, "ok": result.ok}, show)
    return Exit.OK if result.ok else Exit.FAILED


@click.command
@click.argument("paths", cls=Paths)
@json_option
@click.pass_obj
def test(shell: Shell, paths: Sequence[Path]) -> Exit:
    """Run the tests that definitions carry, once they pass the check."""
    from server.authoring.testing import test as run  # noqa: PLC0415 (see server/cli/__init__.py)

    result, _ = _checked(shell, paths)
    with output.working("testing"):
        outcomes = run(result.documents if result.ok else (), local_catalog(shell)).outcomes
    findings = [each.as_dict() for each in result.findings]
    ok = result.ok and all(each.passed for each in outcomes)

    def show(_: Any) -> None:
        show_findings(findings)
        for each in outcomes:
            _show_outcome(each)
        failed = sum(not each.passed for each in outcomes)
        output.say(f"{counted(len(outcomes), 'test')}, {failed} failed; the check: {tally(findings)}")

    shell.result({"findings": findings, "results": [_outcome(each) for each in outcomes], "ok": ok}, show)
    return Exit.OK if ok else Exit.FAILED


@click.command
@click.option("--reference", is_flag=True, help="Write the reference page (Markdown) instead.")
def schema(reference: bool) -> None:
    """Write the JSON Schema of definition files, for editors: it is definitions/definition.v1.json."""
    if reference:
        from server.authoring.reference import reference_page  # noqa: PLC0415 (see server/cli/__init__.py)

        click.echo(reference_page(), nl=False)
        return
    from server.authoring.schema import schema_text  # noqa: PLC0415

    click.echo(schema_text(), nl=False)


def _checked(shell: Shell, paths: Sequence[Path]) -> tuple[CheckResult, int]:
    """Check the files, and say how many there are."""
    from server.authoring.check import check as run  # noqa: PLC0415 (see server/cli/__init__.py)

    with output.working("checking"):
        gathered = gather_all(paths)
        return run(gathered, local_catalog(shell)), len(gathered.files)


def _well(result: CheckResult) -> str:
    return f"{counted(len(result.documents), 'definition')} without error"


def _show_outcome(each: Outcome) -> None:
    output.say(f"{'ok  ' if each.passed else 'FAIL'} {each.definition}: {each.test}")
    for difference in each.differences:
        output.say(f"     {each.file}:{each.line}:{each.col} {difference}")


def _outcome(each: Outcome) -> dict[str, Any]:
    return {
        "definition": each.definition,
        "test": each.test,
        "ok": each.passed,
        "file": each.file,
        "line": each.line,
        "col": each.col,
        "problems": list(each.differences),
    }
