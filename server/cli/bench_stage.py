"""What a bench needs in the workspace: webhooks, their secret, a way to publish. All of it is removed when it ends.

The webhooks are applied as a folder of their own (`folder:bench-…`), so that one request makes them and one takes them away.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.cli import output
from server.cli.client import InProcess, OverHttp, items_of
from server.cli.failing import Refused
from server.cli.paths import path_of
from server.kernel.errors import Conflict, CrossdockError, NotFound, Unavailable, code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

    from server.cli.bench_load import Plan
    from server.cli.client import Rest
    from server.cli.shell import Shell

BENCH_SUBSCRIBED = code(
    "BENCH_SUBSCRIBED", "Webhooks of the workspace take every event and would get those of the bench too."
)
BENCH_UNREACHED = code("BENCH_UNREACHED", "The server does not reach the receiver of the bench; the message says why.")
BENCH_NO_WORKER = code("BENCH_NO_WORKER", "The server accepts events, but no worker delivers them.")
_PREFIX = "bench-"
_SECRET = "BENCH_"  # noqa: S105 - the beginning of a secret's name
_TOKEN_SECONDS = 7200


@dataclass(frozen=True, slots=True)
class Stage:
    """What was made: `run` names it, events are published to `url` with `token`, or into `app` when there is no server."""

    run: str
    rest: Rest
    url: str = ""
    token: str = ""
    app: Flask | None = None

    def type_of(self, hook: int) -> str:
        """Return the event type to which one webhook listens."""
        return f"bench.{self.run}.t{hook}"

    def name_of(self, hook: int) -> str:
        """Return a webhook's name."""
        return f"{_PREFIX}{self.run}-{hook}"

    def make(self, webhooks: int, receiver: str) -> None:
        """Make the webhooks, delivering to paths of the receiver.

        Raises:
            Refused: the token may not, or the server would not call this address.

        """
        from server.sdk.signing import generate_secret  # noqa: PLC0415 (see server/cli/__init__.py)

        secret = _SECRET + self.run
        self.rest.post("/secrets", {"name": secret, "value": generate_secret()})
        files = [
            {
                "kind": "Webhook",
                "name": self.name_of(hook),
                "direction": "outbound",
                "url": f"{receiver}/{self.run}/{hook}",
                "events": [self.type_of(hook)],
                "sign": {"scheme": "standard-webhooks", "key": {"secret": secret}},
            }
            for hook in range(webhooks)
        ]
        try:
            self._apply([{"path": f"{each['name']}.json", "text": output.write_json(each)} for each in files])
        except Refused as error:
            raise _not_allowed(error, receiver) from error

    def remove(self) -> None:
        """Remove what was made."""
        self._apply([])
        with suppress(NotFound, CrossdockError):  # it may never have been made
            self.rest.delete(path_of("secrets", _SECRET + self.run))

    def why_not(self, receiver: str) -> CrossdockError:
        """Say why nothing came: from the state of the first delivery."""
        found = items_of(self.rest.get("/deliveries", webhook=self.name_of(0), limit=1).value)
        first = found[0] if found else {}
        error = first.get("error") or {}
        if error.get("code") == "ADDRESS_REFUSED":
            message = f"the server may not call {receiver}: {error.get('message', '')}"
            return Conflict(message, code=BENCH_UNREACHED, source="cli")
        if error:
            said = f"{error.get('code')} {error.get('message', '')}"
            return Unavailable(f"the server does not reach {receiver}: {said}", code=BENCH_UNREACHED, source="cli")
        if first.get("attempts", 0) == 0:
            message = "an event was accepted, and nobody has tried to deliver it"
            return Unavailable(message, code=BENCH_NO_WORKER, source="cli")
        message = (
            f"a delivery is {first.get('state')}, but nothing came to the receiver: another one answers at {receiver}"
        )
        return Unavailable(message, code=BENCH_UNREACHED, source="cli")

    def _apply(self, files: list[dict[str, Any]]) -> None:
        body = {"origin": f"folder:{_PREFIX}{self.run}", "prune": True, "files": files}
        self.rest.post("/definitions/apply", body)


def _not_allowed(error: Refused, receiver: str) -> CrossdockError:
    """Say plainly when a check refused the receiver's address; any other refusal stays what it is."""
    findings = error.details.get("findings") or [{}]
    if findings[0].get("code") != "ADDRESS_REFUSED":
        return error
    message = f"the server may not call {receiver}: {findings[0].get('message', '')}"
    return Conflict(message, code=BENCH_UNREACHED, source="cli")


@contextmanager
def staged(shell: Shell, plan: Plan) -> Iterator[Stage]:
    """Prepare a run; whatever it makes is gone afterwards, also after Ctrl-C.

    Raises:
        Conflict: BENCH_SUBSCRIBED.
        Refused: the token may not publish or apply.

    """
    rest = shell.rest
    run = secrets.token_hex(4)
    if not plan.disturb:
        _refuse_to_disturb(rest, f"bench.{run}.t0")
    with _way(shell, run) as (url, token, app):
        stage = Stage(run, rest, url, token, app)
        try:
            yield stage
        finally:
            stage.remove()


@contextmanager
def _way(shell: Shell, run: str) -> Iterator[tuple[str, str, Flask | None]]:
    """Give the way for events: the server of the user, the one that runs here with a token for now, or this process."""
    way = shell.rest.way
    if isinstance(way, OverHttp):
        yield way.url, shell.settings.token, None
        return
    from server.runtime.home import Home  # noqa: PLC0415 (see server/cli/__init__.py)

    running = Home(shell.settings.home).running()
    if running is None:
        output.note("no API runs here: events go into the application in this process")
        yield "", "", way.app if isinstance(way, InProcess) else None
        return
    body = {"name": f"{_PREFIX}{run}", "role": "operator", "expires_in_seconds": _TOKEN_SECONDS}
    made = shell.rest.post("/tokens", body).value
    try:
        yield running.url, made["token"], None
    finally:
        shell.rest.delete(path_of("tokens", made["id"]))


def _refuse_to_disturb(rest: Rest, type_: str) -> None:
    from server.events.matching import matches  # noqa: PLC0415 (see server/cli/__init__.py)

    found = [
        each["name"]
        for each in rest.pages("/webhooks", limit=200)
        if any(matches(str(pattern), type_) for pattern in each["definition"].get("events", ()))
    ]
    if found:
        message = f"{', '.join(found[:5])} would get the events too: use another workspace, or --disturb"
        raise Conflict(message, code=BENCH_SUBSCRIBED, source="cli")


def clean_up(rest: Rest) -> list[str]:
    """Remove what runs that were killed have left; return their names."""
    origins = {each["origin"] for each in rest.pages("/webhooks", limit=200)}
    held = {each["name"] for each in rest.pages("/secrets", limit=200)}
    runs = {each.removeprefix(f"folder:{_PREFIX}") for each in origins if each.startswith(f"folder:{_PREFIX}")}
    runs |= {each.removeprefix(_SECRET) for each in held if each.startswith(_SECRET)}
    for run in sorted(runs):
        Stage(run, rest).remove()
    return sorted(f"{_PREFIX}{run}" for run in runs)
