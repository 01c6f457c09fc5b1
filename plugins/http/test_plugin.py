"""What is special about this plugin: how it shows who it is, and what a call may not do."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import requests

from plugins.http.adapter import HttpAdapter
from plugins.http.mock import HttpApiMock
from server.sdk import CallRequest, Schema
from server.sdk.plugin import load_plugin
from server.sdk.testing import Rig

PLUGIN = load_plugin(Path(__file__).parent, "plugins.http")
EXAMPLES: list[dict[str, Any]] = [
    {
        "base_url": "https://warehouse.example.com/api",
        "auth": {"scheme": "bearer", "token": "t"},
        "headers": {"X-Source": "crossdock"},
    },
    {
        "base_url": "https://messages.example.com",
        "auth": {"scheme": "api_key", "header": "X-Api-Key", "key": "k"},
    },
]


def schema() -> Schema:
    return Schema(dict(PLUGIN.config_schema))


def send(mock: HttpApiMock, **given: Any) -> dict[str, Any]:
    adapter, call = HttpAdapter(), CallRequest("request.send", given)
    assert adapter.validate(call).is_valid, adapter.validate(call).errors
    with requests.Session() as session:
        return adapter.transform(adapter.execute(call, Rig(PLUGIN, lambda _seconds: session).context(mock)))


@pytest.mark.parametrize("config", EXAMPLES)
def test_the_example_integrations_are_accepted(config: dict[str, Any]) -> None:
    assert schema().errors(config) == ()


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"base_url": "ftp://x"},
        {"base_url": "https://user:password@x"},
        {"base_url": "https://x?y=1"},
        {"base_url": "https://x", "auth": {"scheme": "bearer"}},
        {"base_url": "https://x", "auth": {"scheme": "api_key", "key": "k"}},
        {"base_url": "https://x", "auth": {"scheme": "api_key", "key": "k", "header": "A", "query": "b"}},
        {"base_url": "https://x", "headers": {"X-A": "a\r\nX-B: b"}},
        {"base_url": "https://x", "headers": {"X A": "a"}},
    ],
)
def test_a_config_that_could_not_work_is_refused(config: dict[str, Any]) -> None:
    assert schema().errors(config)


@pytest.mark.parametrize(
    ("auth", "shown"),
    [
        ({"scheme": "bearer", "token": "t"}, {"Authorization": "Bearer t"}),
        (
            {"scheme": "basic", "username": "u", "password": "p"},
            {"Authorization": "Basic " + base64.b64encode(b"u:p").decode()},
        ),
        ({"scheme": "api_key", "header": "X-Api-Key", "key": "k"}, {"X-Api-Key": "k"}),
        ({"scheme": "none"}, {}),
    ],
)
def test_each_scheme_shows_who_we_are_in_a_header(auth: dict[str, str], shown: dict[str, str]) -> None:
    endpoint = HttpAdapter().endpoint({"base_url": "https://x/api/", "auth": auth, "headers": {"X-Source": "c"}})
    assert endpoint.base_url == "https://x/api"
    assert endpoint.headers == {"X-Source": "c", **shown}


def test_an_api_key_can_stand_in_the_query() -> None:
    auth = {"scheme": "api_key", "query": "key", "key": "k"}
    assert HttpAdapter().endpoint({"base_url": "https://x", "auth": auth}).query == {"key": "k"}


def test_a_request_carries_correlation_and_idempotency_key() -> None:
    with HttpApiMock() as mock:
        body = send(mock, path="/echo", headers={"X-A": "b"})["body"]
    assert body["headers"]["x-correlation-id"] == "cor_contract"
    assert body["headers"]["idempotency-key"] == "key_contract"
    assert body["headers"]["x-a"] == "b"


def test_pages_and_empty_answers_come_through() -> None:
    with HttpApiMock() as mock:
        mock.play("pages")
        assert 'rel="next"' in send(mock, path="/things")["headers"]["link"]
        assert "link" not in send(mock, path="/things", query={"page": 3})["headers"]
        assert send(mock, method="DELETE", path="/things/1")["body"] is None


@pytest.mark.parametrize(
    "given",
    [
        {"path": "/../admin"},
        {"path": "/a/%2e%2e/b"},
        {"path": "//evil.test/x?y"},
        {"path": "no-slash"},
        {"path": "/a", "headers": {"Host": "x"}},
        {"path": "/a", "headers": {"authorization": "x"}},
        {"path": "/a", "headers": {"Content-Length": "0"}},
        {"path": "/a", "json": 1, "text": "x"},
    ],
)
def test_a_call_cannot_leave_the_base_url_or_change_who_we_are(given: dict[str, Any]) -> None:
    assert not HttpAdapter().validate(CallRequest("request.send", given)).is_valid
