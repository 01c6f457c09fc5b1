"""Records what a real Tryton answers to the fixtures of the plugin, for its mock; and writes the fixtures, with real ids.

    python -m tests.tryton.recording

Run it when a request of the plugin has changed, or a port.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from plugins.tryton.adapter import ANSWERED
from plugins.tryton.mock import CONFIG, RECORDED, digest_of
from server.sdk import CallRequest
from tests.tryton.calling import Caller
from tests.tryton.server import TrytonServer
from tests.tryton.staging import staged

if TYPE_CHECKING:
    import requests

FIXTURES = RECORDED.with_name("fixtures")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, TrytonServer(Path(folder)) as server:
        assert {name: server.config[name] for name in ("company", "employee")} == {
            name: CONFIG[name] for name in ("company", "employee")
        }
        erp = Caller(server.config)
        inputs = staged(erp)
        _write_fixtures(inputs)
        said: list[dict[str, Any]] = []
        erp.http.hooks["response"].append(lambda response, *_args, **_more: said.append(_told(response)))
        for path in sorted(FIXTURES.glob("*.json")):
            call = CallRequest(path.name.partition("__")[0], json.loads(path.read_text())["input"])
            erp.adapter.execute(call, erp.context("key_contract"))
        erp.adapter.health_check(erp.context(None))
        RECORDED.write_text("".join(json.dumps(each, sort_keys=True) + "\n" for each in said))
        print(f"{len(inputs)} fixtures, {len(said)} requests, {RECORDED.stat().st_size} bytes")


def _write_fixtures(inputs: dict[str, dict[str, Any]]) -> None:
    missing = ANSWERED.keys() - {name.partition("__")[0] for name in inputs}
    assert not missing, missing
    shutil.rmtree(FIXTURES, ignore_errors=True)
    FIXTURES.mkdir()
    for name, given in inputs.items():
        (FIXTURES / f"{name}.json").write_text(json.dumps({"input": given}) + "\n")


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
