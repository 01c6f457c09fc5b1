"""The house stays whole: imports point down, modules and functions keep their size, plugins know the sdk only."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted([*ROOT.glob("server/**/*.py"), *ROOT.glob("plugins/**/*.py"), *ROOT.glob("migrations/**/*.py")])
FORBIDDEN = ("utils", "common", "helpers")


def test_imports_point_down_only() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("tool", [("ruff", "check", "."), ("ruff", "format", "--check", ".")])
def test_lint_is_clean(tool: tuple[str, ...]) -> None:
    command = [str(Path(sys.executable).parent / tool[0]), *tool[1:]]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert result.returncode == 0, result.stdout[-3000:]


@pytest.mark.timeout(600)
def test_types_are_strict() -> None:
    command = [str(Path(sys.executable).parent / "mypy")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=590)
    assert result.returncode == 0, result.stdout[-3000:]


def test_modules_keep_their_size() -> None:
    longer = {
        str(path.relative_to(ROOT)): n for path in MODULES if (n := len(path.read_text("utf-8").splitlines())) > 400
    }
    assert longer == {}


def test_functions_keep_their_size() -> None:
    longer = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                lines = node.end_lineno - node.lineno + 1
                nested = any(isinstance(each, ast.FunctionDef) for each in ast.walk(node) if each is not node)
                if lines > 60 and not nested:
                    longer.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} {lines}")
    assert longer == []


def test_no_room_is_a_drawer() -> None:
    assert [str(path) for path in MODULES if {*path.parts, path.stem} & {*FORBIDDEN}] == []


def test_the_server_names_no_plugin_and_plugins_import_the_sdk_only() -> None:
    for path in MODULES:
        text = path.read_text("utf-8")
        imports = re.findall(r"^\s*(?:from|import) ([\w.]+)", text, re.MULTILINE)
        if path.is_relative_to(ROOT / "server"):
            assert not [name for name in imports if name.split(".")[0] == "plugins"], path
        elif path.is_relative_to(ROOT / "plugins") and path.name != "test_plugin.py":
            assert not [name for name in imports if name.startswith("server.") and not name.startswith("server.sdk")], (
                path
            )


def test_nothing_is_left_unfinished() -> None:
    words = re.compile(r"NotImplementedError|\bTODO\b|\bFIXME\b|\bXXX\b")
    assert [str(path.relative_to(ROOT)) for path in MODULES if words.search(path.read_text("utf-8"))] == []
