"""What is special about this plugin: which places a config may name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from server.sdk import Schema
from server.sdk.plugin import load_plugin

PLUGIN = load_plugin(Path(__file__).parent, "plugins.files")
HOST_KEY = "SHA256:" + "A" * 43


def schema() -> Schema:
    return Schema(dict(PLUGIN.config_schema))


@pytest.mark.parametrize(
    "config",
    [
        {"url": "file:///"},
        {"url": "file:///inbox/orders"},
        {"url": "sftp://files.example.com:2222/orders", "user": "u", "password": "p", "host_key": HOST_KEY},
        {"url": "sftp://files.example.com/~/orders", "user": "u", "private_key": "k", "host_key": HOST_KEY},
        {"url": "s3://bucket/orders", "access_key": "a", "secret_key": "s", "region": "eu-west-1"},
        {"url": "s3://bucket", "access_key": "a", "secret_key": "s", "endpoint": "https://minio.example.com"},
    ],
)
def test_a_place_is_accepted(config: dict[str, Any]) -> None:
    assert schema().errors(config) == ()


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"url": "http://example.com"},
        {"url": "file://host/x"},
        {"url": "file:///x?y"},
        {"url": "sftp://u:p@files.example.com/", "user": "u", "password": "p", "host_key": HOST_KEY},
        {"url": "sftp://files.example.com/", "user": "u", "password": "p"},
        {"url": "sftp://files.example.com/", "user": "u", "host_key": HOST_KEY},
        {"url": "s3://bucket", "access_key": "a"},
    ],
)
def test_a_place_that_could_not_be_opened_safely_is_refused(config: dict[str, Any]) -> None:
    assert schema().errors(config)
