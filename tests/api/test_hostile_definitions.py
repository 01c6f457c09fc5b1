"""Hostile definitions over REST: every one is a finding with its place or a problem, quickly, and nothing is stored."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.api.world import Place, World

HOOK = "kind: Webhook\nname: evil\ndirection: outbound\nurl: https://a.example.com/x\nevents: [a.b]\n"
SHOP = "kind: Integration\nname: evil\nplugin: http\nconfig: {{base_url: {url}}}\n"
TEXTS = {
    "a billion laughs": "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefghijk", "bcdefghijkl", strict=True)),
    "a tag that runs code": "!!python/object/apply:os.system ['id']\n",
    "a tag inside": HOOK + "map: {a: !!python/name:os.system }\n",
    "3,000 brackets": "[" * 3000,
    "700 levels": "".join(" " * depth + "a:\n" for depth in range(700)),
    "a key that comes twice": HOOK + "name: other\n",
    "a key of a list": HOOK + "? [a, b]\n: c\n",
    "a merge": "base: &b {name: x}\n<<: *b\n",
    "300 KB": HOOK + "description: " + "x" * 300_000 + "\n",
    "20,000 documents": "---\n" * 20_000,
    "U+0000": HOOK + 'description: "\\0"\n',
    "a bidirectional name": HOOK.replace("evil", "\u202eevil"),
    "a name that is a path": HOOK.replace("evil", "../../etc/passwd"),
    "a private address": HOOK.replace("a.example.com", "10.0.0.5"),
    "the metadata service": HOOK.replace("a.example.com", "169.254.169.254"),
    "a number for an address": HOOK.replace("a.example.com", "2130706433"),
    "a mapped address": HOOK.replace("a.example.com", "[::ffff:10.0.0.5]"),
    "a file": HOOK.replace("https://a.example.com/x", "file:///etc/passwd"),
    "gopher": HOOK.replace("https://", "gopher://"),
    "user info": HOOK.replace("a.example.com", "anna:pass@a.example.com"),
    "an address without end": HOOK.replace("/x", "/" + "x" * 3000),
    "a line end in a header": SHOP.format(url='"https://a.example.com", headers: {A: "b\\r\\nC: d"}'),
    "a header that is ours": HOOK + 'request: {headers: {webhook-signature: "v1,x"}}\n',
    "a line end in a name of a header": HOOK + 'request: {headers: {"A\\r\\nB": "c"}}\n',
    "Host": HOOK + "request: {headers: {Host: evil.example.com}}\n",
    "a path that climbs": HOOK + "request: {path: /../../admin}\n",
    "an expression without end": HOOK + "when: '" + "(" * 5000 + "'\n",
    "an expression that multiplies": HOOK + "when: " + "[data,data]" * 1 + " | " + " | ".join(["[@,@]"] * 400) + "\n",
    "an unknown function": HOOK + "when: __import__('os')\n",
    "an unknown root": HOOK + "when: secrets.HOOK\n",
    "a template": HOOK + 'request: {path: "/{{ 7*7 }}/${env.PATH}"}\n',
    "another plugin": SHOP.format(url="https://a.example.com").replace("plugin: http", "plugin: ../../http"),
    "a remote $ref": "kind: EventType\nname: a.b\nversion: 1\nschema: {$ref: 'http://169.254.169.254/x.json'}\n",
    "a file $ref": "kind: EventType\nname: a.b\nversion: 1\nschema: {$ref: 'file:///etc/passwd'}\n",
    "a pattern that takes for ever": "kind: EventType\nname: a.b\nversion: 1\nschema: {type: string, pattern: '^(?=(a+)+$).*$'}\n",
    "an environment of ours": SHOP.format(url="{env: DATABASE_URL}"),
    "an environment that sounds secret": SHOP.format(url="{env: AWS_SECRET_ACCESS_KEY}"),
    "a schedule of every instant": HOOK + "retry: {schedule: [0s, 0s, 0s]}\n",
    "a schedule of ages": HOOK + "retry: {schedule: [99999999d]}\n",
    "a date for a name": HOOK.replace("evil", "2026-01-01"),
    "a boolean for a name": HOOK.replace("evil", "true"),
    "Latin": HOOK + "descripción: x\n",
    "no kind": "name: x\n",
    "a scalar": "just text\n",
}  # fmt: skip


@pytest.mark.parametrize("attack", TEXTS)
def test_a_hostile_definition_is_a_finding_with_its_place(world: World, alpha: Place, attack: str):
    before = world.rows_of(alpha)
    body: dict[str, Any] = {"files": [{"path": "evil.yaml", "text": TEXTS[attack]}]}
    if attack == "U+0000":
        assert "\0" not in TEXTS[attack]  # YAML's own escape: the JSON around it is fine
    for path in ("check", "test", "plan"):
        began = time.monotonic()
        answer = world.call("POST", f"/api/v1/definitions/{path}", body, headers=alpha.admin)
        assert time.monotonic() - began < 5, path
        assert answer.status_code == 200, (path, answer.text[:500])
        errors = [each for each in answer.json["findings"] if each["severity"] == "error"]
        assert errors, (path, answer.text[:500])
        assert all(each["file"] == "evil.yaml" and each["line"] >= 1 and each["code"] for each in errors), errors
        assert "root:" not in answer.text
    applied = world.call("POST", "/api/v1/definitions/apply", body, headers=alpha.admin)
    assert applied.status_code == 422, applied.text[:500]
    assert applied.content_type == "application/problem+json"
    assert world.rows_of(alpha) == before


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "/etc/passwd", "C:\\x.yaml", "a" * 500, "x\u202e.yaml", "<script>", ".", "a\nb.yaml"]
)
def test_a_path_is_a_name_in_findings_and_nothing_is_read_from_it(world: World, alpha: Place, path: str):
    body = {"files": [{"path": path, "text": "kind: Nothing\n"}]}
    answer = world.call("POST", "/api/v1/definitions/check", body, headers=alpha.admin)
    assert answer.status_code in (200, 422)
    assert "root:" not in answer.text
    assert answer.status_code == 422 or {each["file"] for each in answer.json["findings"]} == {path}


def test_more_files_than_a_folder_has_are_refused(world: World, alpha: Place):
    body = {"files": [{"path": f"{number}.yaml", "text": ""} for number in range(20_001)]}
    answer = world.call("POST", "/api/v1/definitions/check", body, headers=alpha.admin)
    assert answer.status_code in (413, 422), answer.text[:200]
    for origin in ("folder:../../x", "folder:", "other", "folder:a b", "api\n", "folder:x\u202e", None, 1, ""):
        answer = world.call("POST", "/api/v1/definitions/plan", {"files": [], "origin": origin}, headers=alpha.admin)
        assert (answer.status_code, answer.json.get("errors", [{}])[0].get("pointer")) == (422, "/origin"), origin


@pytest.mark.parametrize("base", ["0" * 63, "0" * 65, "0" * 64 + "\n", "g" * 64, "", 1, "A" * 64])
def test_a_base_that_no_plan_gave_is_refused(world: World, alpha: Place, base: Any):
    answer = world.call("POST", "/api/v1/definitions/apply", {"files": [], "base": base}, headers=alpha.admin)
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/base"), answer.text
