"""From no key at all to the public key that receivers verify with, on the command line."""

from __future__ import annotations

from server.sdk.signing import generate_private_key, read_key

HOOK = """\
kind: Webhook
name: hook
direction: outbound
url: https://shop.example.com/hook
events: [order.created]
sign: {scheme: standard-webhooks, key: [{secret: PRIVATE}, {secret: SHARED}]}
"""


def test_a_key_is_made_stored_and_its_public_half_is_listed(local, tmp_path):
    private = local.ok("webhook", "new-key", "--asymmetric")
    shared = local.json("webhook", "new-key")["key"]
    assert private.startswith("whsk_")
    assert shared.startswith("whsec_")
    local.ok("secret", "set", "PRIVATE", stdin=private)
    local.ok("secret", "set", "SHARED", stdin=shared)
    (tmp_path / "hook.yaml").write_text(HOOK, "utf-8")
    local.ok("apply", str(tmp_path / "hook.yaml"))
    public = read_key(private.strip()).public
    assert local.json("webhook", "public-keys", "hook")["items"] == [{"key": public, "secret": "PRIVATE"}]
    local.ok("secret", "rotate", "PRIVATE", stdin=generate_private_key())
    listed = local.ok("webhook", "public-keys", "hook")
    assert public in listed
    assert listed.count("whpk_") == 2
    assert "whsk_" not in listed
