"""Records what a real Tryton answers to the fixtures of the plugin, for its mock; and writes the fixtures, with real ids.

    python -m tests.tryton.recording

Run it when a request of the plugin has changed, or a port.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from plugins.tryton.mock import CONFIG, RECORDED, digest_of
from plugins.tryton.syncing import LISTED
from server.sdk import CallRequest
from server.sdk.port_inputs import INPUTS
from server.sdk.port_inputs.stage import Stage
from server.sdk.testing_ports import tried
from tests.tryton.calling import world_of
from tests.tryton.server import TrytonServer

FIXTURES = RECORDED.with_name("fixtures")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, TrytonServer(Path(folder)) as server, requests.Session() as session:
        assert all(server.config[name] == CONFIG[name] for name in ("company", "employee"))
        world = world_of(server.config, session)
        stage = Stage(world)
        inputs = {name: INPUTS[name](stage) for name in tried(world.adapter)}
        inputs |= {each.name: {"limit": 2} for each in LISTED}
        _write_fixtures(inputs)
        said: list[dict[str, Any]] = []
        session.hooks["response"].append(lambda response, *_args, **_more: said.append(_told(response)))
        for path in sorted(FIXTURES.glob("*.json")):
            call = CallRequest(path.name.partition("__")[0], json.loads(path.read_text())["input"])
            world.adapter.execute(call, world.context("key_contract"))
        world.adapter.health_check(world.context(None))
        RECORDED.write_text("".join(json.dumps(each, sort_keys=True) + "\n" for each in said))
        print(f"{len(inputs)} fixtures, {len(said)} requests, {RECORDED.stat().st_size} bytes")


def _write_fixtures(inputs: dict[str, dict[str, Any]]) -> None:
    shutil.rmtree(FIXTURES, ignore_errors=True)
    FIXTURES.mkdir()
    for name, given in inputs.items():
        (FIXTURES / f"{name}__one.json").write_text(json.dumps({"input": given}) + "\n")


def _told(response: requests.Response) -> dict[str, Any]:
    request = response.request
    url = urlsplit(request.url or "")
    body = request.body or b""
    asked = digest_of(
        request.method or "",
        url.path,
        dict(parse_qsl(url.query, keep_blank_values=True)),
        request.headers["X-Tryton-Context"],
        body if isinstance(body, bytes) else body.encode(),
    )
    answer = response.json() if response.content else None
    return {"asked": asked, "what": f"{request.method} {url.path}", "status": response.status_code, "answer": answer}


if __name__ == "__main__":
    main()
