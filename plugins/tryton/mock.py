"""Plays a Tryton server from what one was recorded to say: each request of the fixtures has its answers, in their order.

`python -m tests.tryton.recording` records them anew on a real server. Once the contract has set the stage of a source or
a target, it answers from the records of `mock_records` instead.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.tryton.mock_records import Records
from plugins.tryton.rest import unpacked
from server.sdk import HttpMock, Received, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.sdk import SourceStage, TargetStage

RECORDED = Path(__file__).with_name("recorded.jsonl")
CONFIG: dict[str, Any] = {"database": "erp", "key": "mock-key-7c1f0e", "company": 1, "employee": 1}
_DAY = re.compile(r'"year": \d+, "month": \d+, "day": \d+')


def digest_of(method: str, path: str, query: Mapping[str, str], context: str, body: bytes) -> str:
    """Return what a request is recognised by; which day it is makes no difference."""
    packed = {name: unpacked(query[name]) for name in ("d", "o") if name in query}
    plain = {name: query[name] for name in ("s", "p", "f") if name in query}
    said = [method, path, packed, plain, unpacked(context), json.loads(body or b"null")]
    return hashlib.sha256(_DAY.sub("", json.dumps(said)).encode()).hexdigest()[:24]


@cache
def _recorded() -> dict[str, list[dict[str, Any]]]:
    answers: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in RECORDED.read_text("utf-8").splitlines():
        said = json.loads(line)
        answers[said["asked"]].append(said)
    return answers


class TrytonMock(HttpMock):
    """Answers as the recorded server did; to a request that it never got it says 404."""

    secrets = (CONFIG["key"],)

    def __init__(self) -> None:
        super().__init__()
        self._heard: dict[str, int] = defaultdict(int)
        self._records = Records()
        self._staged = False

    @property
    def config(self) -> dict[str, Any]:
        """An integration with the key of a user application."""
        return {"url": self.url, **CONFIG}

    def source(self, operation: str, ticks: Sequence[int]) -> SourceStage:
        """Let a collection have one record for each tick."""
        self._staged = True
        return self._records.put(operation, ticks)

    def target(self, operation: str) -> TargetStage:
        """Let there be no party, or no product."""
        self._staged = True
        return self._records.empty(operation)

    def stored(self, operation: str) -> Sequence[Mapping[str, Any]]:
        """Return what a target wrote."""
        return self._records.stored(operation)

    def answer(self, request: Received) -> Reply:
        """Give the next recorded answer, the last one again and again."""
        if request.headers.get("authorization") != f"Bearer {CONFIG['key']}":
            return Reply(401, {"error": "unauthorized"})
        if self._staged:
            found = self._made_up(request)
            return Reply(404, {"message": "not of the stage"}) if found is None else Reply(200, found)
        context = request.headers.get("x-tryton-context", "")
        asked = digest_of(request.method, request.path, request.query, context, request.body)
        answers = _recorded().get(asked)
        if not answers:
            return Reply(404, {"message": f"never recorded: {request.method} {request.path}"})
        said = answers[min(self._heard[asked], len(answers) - 1)]
        self._heard[asked] += 1
        if said["answer"] is None:
            return Reply(said["status"], raw=b"")
        return Reply(said["status"], said["answer"])

    def _made_up(self, request: Received) -> Any:
        path, query = request.path.partition("/rest/model/")[2], request.query
        model, _, number = path.partition("/")
        if request.method == "GET":
            domain, order = (unpacked(query.get(name, "")) for name in ("d", "o"))
            return self._records.search(model, domain, order or [], int(query["s"]), int(query["p"]))
        values = json.loads(request.body or b"{}")
        if request.method == "PUT" and number.isdigit():
            return self._records.write(model, int(number), values)
        return None if number else self._records.create(model, values)
