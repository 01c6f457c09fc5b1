"""Finding, loading, writing and checking plugins, the project's own and anybody's."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from server.integrations.plugins import discover
from server.integrations.scaffold import check_plugin, new_plugin
from server.kernel.errors import Conflict, Invalid


@pytest.fixture
def plugin(tmp_path):
    """The folder of a freshly written plugin."""
    new_plugin("acme_shop", tmp_path)
    return tmp_path / "acme_shop"


def test_a_new_plugin_keeps_the_contract(plugin):
    assert check_plugin(plugin) == []


def test_a_new_plugin_passes_its_own_tests_and_the_linter(plugin):
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(plugin), "--rootdir", str(plugin)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", "pyproject.toml", "--ignore", "INP001,S101", str(plugin)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["", "Acme", "1shop", "acme-shop", "acme shop", "../x", "a/b", "é"])
def test_a_plugin_is_not_written_under_a_bad_name(tmp_path, name):
    with pytest.raises(Invalid):
        new_plugin(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(plugin):
    with pytest.raises(Conflict):
        new_plugin("acme_shop", plugin.parent)


def replaced(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("manifest.yaml", "name: acme_shop", "name: other", "the folder is called acme_shop"),
        ("manifest.yaml", "version: 0.1.0", "version: 1.0", "/version"),
        ("manifest.yaml", "owner: you", "owner: you\nextra: 1", "extra"),
        ("manifest.yaml", "items.get", "items.put", "not those of the manifest"),
        ("manifest.yaml", "silver", "platinum", "/quality/tier"),
        ("manifest.yaml", "tier: silver", "tier: silver\n  exempt: {slow: the reason is not there}", "exempt but passes"),
        ("manifest.yaml", "tier: silver", "tier: silver\n  exempt: {nothing: the reason is not there}", "no check nothing"),
        ("manifest.yaml", "tier: silver", "tier: silver\n  exempt: {slow: short}", "/quality/exempt/slow"),
        ("manifest.yaml", "name:", "name: [", "cannot be read"),
        ("config.schema.json", '"type": "string"', '"type": "strin"', "schema is invalid"),
        ("config.schema.json", '"additionalProperties": false,', "", "accepts an unknown key"),
        ("config.schema.json", '"token"]', '"token", "more"]', "the mock's config is refused"),
        ("config.schema.json", "{", "", "cannot be read"),
        ("adapter.py", 'version = "0.1.0"', 'version = "0.2.0"', "the manifest says"),
        ("adapter.py", '"additionalProperties": False,', "", "accepts an unknown field"),
        ("adapter.py", '"minLength": 1', '"pattern": "(a+)+(?=b)"', "schema is invalid"),
        ("adapter.py", "Read one item by its id.", "Get", "does not say what it is about"),
        ("adapter.py", "read_json(", "(", "broken"),
        ("adapter.py", "return expect_success(response, context.clock.now())", "return response", "unauthorized"),
        ("adapter.py", "context.http.get", "__import__('requests').get", "slow"),
        ("adapter.py", "return expect_success", "raise RuntimeError\n        return expect_success", "RuntimeError"),
        ("adapter.py", "return measured(context, ask)", "return None", "health"),
        ("adapter.py", "from __future__", "import no_such_module\nfrom __future__", "SyntaxError"),
        ("adapter.py", "(Adapter)", "(object)", "0 classes of Adapter"),
        ("mock.py", "(HttpMock)", "(object)", "0 classes of Mock"),
        ("fixtures/items.get__one.json", '"42"', "42", "is refused"),
    ],
)  # fmt: skip
def test_a_breach_of_the_contract_is_found_and_said(plugin, file, old, new, said):
    replaced(plugin / file, old, new)
    found = check_plugin(plugin, package=f"checked_{abs(hash((file, new)))}")
    assert any(said in each for each in found), found


@pytest.mark.parametrize(
    "file", ["manifest.yaml", "config.schema.json", "adapter.py", "mock.py", "README.md", "__init__.py"]
)
def test_a_missing_part_is_found(plugin, file):
    (plugin / file).unlink()
    assert any(file in each for each in check_plugin(plugin, package=f"without_{abs(hash(file))}"))


def test_an_operation_without_a_fixture_is_found(plugin):
    (plugin / "fixtures/items.get__one.json").unlink()
    assert any("fixtures/items.get__" in each for each in check_plugin(plugin))


def test_an_error_that_shows_a_secret_is_found(plugin):
    replaced(
        plugin / "adapter.py",
        "return expect_success(response, context.clock.now())",
        "if response.status_code >= 400:\n            from server.sdk import Permanent\n"
        "            raise Permanent(f\"refused {context.config['token']}\")\n        return response",
    )
    assert any("shows a secret" in each for each in check_plugin(plugin, package="leaking"))


def test_a_plugin_that_is_installed_is_discovered_by_its_entry_point(plugin, tmp_path, monkeypatch):
    info = tmp_path / "acme_shop-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-shop\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[crossdock.plugins]\nacme_shop = acme_shop\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = discover()
    assert found["acme_shop"].folder == plugin
    assert found["acme_shop"].adapter_factory().id == "acme_shop"
    assert {"http", "hostile"} <= found.keys()


def test_two_plugins_of_one_name_are_an_error(tmp_path, monkeypatch):
    new_plugin("http", tmp_path / "acme")
    (tmp_path / "acme" / "__init__.py").touch()
    info = tmp_path / "acme-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[crossdock.plugins]\nhttp = acme.http\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Invalid, match="two plugins are called http"):
        discover()


def test_discovery_imports_no_plugin():
    code = """import sys
from server.integrations.plugins import discover
discover()
print([name for name in sys.modules if name.startswith("plugins.")])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_config_schema_of_the_project_is_json_that_names_its_draft():
    for plugin in discover().values():
        schema = json.loads((plugin.folder / "config.schema.json").read_text())
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
