"""`crossdock new flow`: begins a flow that passes `check` and `test`, and shows what steps look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from server.cli.new import begins, text_of, write_begun

if TYPE_CHECKING:
    from pathlib import Path

    from server.cli.exits import Exit
    from server.cli.shell import Shell


@click.command("flow")
@click.argument("name")
@click.option("--event", metavar="TYPE", help="The event that starts it; without it it is started by a call.")
@begins
def begin_flow(shell: Shell, name: str, event: str | None, folder: Path) -> Exit:
    """Begin a flow: large amounts wait for a person, then an event tells that it is done."""
    done = f"{name.replace('-', '_')}.done"
    lines = [
        "kind: Flow",
        f"name: {text_of(name)}",
        "description: Large amounts wait for a person; then an event tells that it is done",
        *([f"events: [{text_of(event)}]"] if event else []),
        "idempotency_key: data.number      # one run per document",
        "timeout: 7d",
        "steps:",
        "  # A step that calls: {id: order, call: erp.orders.create, with: {…}, undo: {call: erp.orders.cancel, with: {…}}}",
        "  - id: allowed",
        "    when: data.total > 1000",
        "    approve:",
        '      message: "May {{ data.number }} go on, {{ data.total }} in all?"',
        "      timeout: 2d",
        "  - id: announce",
        "    emit:",
        f"      type: {text_of(done)}",
        "      subject: data.number",
        "      data: {number: data.number, approved_by: steps.allowed.by}",
        "tests:",
        "  - name: a large amount waits for a person, and goes on when they approve",
        f"    given: {{{f'event: {text_of(event)}, ' if event else ''}data: {{number: SO-1, total: 5000}}}}",
        "    approvals: {allowed: {approved: true, by: anna}}",
        "    expect:",
        "      status: completed",
        f"      events: [{{type: {text_of(done)}, data: {{number: SO-1, approved_by: anna}}}}]",
        "  - name: a small one does not wait",
        f"    given: {{{f'event: {text_of(event)}, ' if event else ''}data: {{number: SO-2, total: 10}}}}",
        f"    expect: {{status: completed, steps: {{allowed: null}}, events: [{text_of(done)}]}}",
    ]
    return write_begun(shell, folder, f"flows/{name}.yaml", lines, f"crossdock test {folder}")
