"""`crossdock`: the tree of commands, and the border where every failure becomes one line and an exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from server.cli import failing, output
from server.cli.audit import audit
from server.cli.bench import bench
from server.cli.checking import check, schema, test
from server.cli.database import db
from server.cli.dead_letters import dead_letters
from server.cli.definitions import apply, definition, export, plan, rollback
from server.cli.deliveries import deliveries
from server.cli.doctor import doctor
from server.cli.event_types import event_type
from server.cli.events import events, send
from server.cli.examples import show_examples
from server.cli.exits import Exit
from server.cli.flows import flow
from server.cli.inbound import inbound
from server.cli.integrations import integration
from server.cli.members import member
from server.cli.new import new
from server.cli.new_flow import begin_flow
from server.cli.new_sync import begin_sync
from server.cli.plugins import plugin
from server.cli.replays import replay
from server.cli.roles import api, scheduler, worker
from server.cli.secrets import secret
from server.cli.shell import Shell, Whole, workspace_option
from server.cli.syncs import sync
from server.cli.tokens import token
from server.cli.up import up
from server.cli.version import version
from server.cli.webhooks import webhook
from server.cli.workspaces import organization, workspace
from server.kernel import garbage
from server.kernel.errors import INTERNAL, CrossdockError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Crossdock(Whole):
    """The root: runs a command and ends the process with its exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands in the order in which a person meets them."""
        return list(self.commands)

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run; commands return their exit code, None for 0."""
        extra["standalone_mode"] = False
        try:
            ended = super().main(args, prog_name or "crossdock", **extra)
            sys.exit(ended if isinstance(ended, int) else Exit.OK)
        except BrokenPipeError:
            # Whoever read our output has gone, as `head` does: nothing is left to say, at exit neither.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(Exit.OK)
        except click.ClickException as error:
            error.show()
            sys.exit(Exit.USAGE)
        except (click.Abort, KeyboardInterrupt):
            sys.exit(Exit.INTERRUPTED)
        except CrossdockError as error:
            failing.show(error)
            _trace()
            sys.exit(failing.exit_of(error))
        except Exception as error:  # noqa: BLE001 - the border: whatever breaks ends as one line, not as a traceback
            failing.show(CrossdockError(f"{type(error).__name__}: {error}", code=INTERNAL))
            _trace()
            sys.exit(Exit.INTERNAL)


def _trace() -> None:
    if os.environ.get("CROSSDOCK_LOG_LEVEL") == "debug":
        import traceback  # noqa: PLC0415 (see server/cli/__init__.py)

        output.note(traceback.format_exc())


@click.group(cls=Crossdock, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="crossdock", message="%(prog)s %(version)s")
@workspace_option
@click.pass_context
def root(ctx: click.Context) -> None:
    """Crossdock: webhooks, syncs and flows declared in Git, executed by workers that lose nothing.

    Commands act on the server of CROSSDOCK_HOME (or DATABASE_URL) as the local admin; with CROSSDOCK_URL and
    CROSSDOCK_TOKEN they go over REST, with the same output.
    """
    ctx.call_on_close(ctx.ensure_object(Shell).close)


new.add_command(begin_sync)
new.add_command(begin_flow)
for _command in (
    up,
    api,
    worker,
    scheduler,
    check,
    test,
    plan,
    apply,
    rollback,
    export,
    definition,
    schema,
    new,
    send,
    events,
    deliveries,
    inbound,
    dead_letters,
    replay,
    webhook,
    integration,
    sync,
    flow,
    event_type,
    secret,
    token,
    member,
    workspace,
    organization,
    audit,
    plugin,
    db,
    doctor,
    bench,
    version,
):
    root.add_command(_command)
show_examples(root)


def main() -> NoReturn:
    """Run the command line of this process."""
    garbage.seldom()
    root.main()


if __name__ == "__main__":
    main()
