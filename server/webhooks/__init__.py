"""Webhooks: outbound match, render, sign, deliver; inbound verify, dedupe, emit."""
