"""Texts of small definitions."""

from __future__ import annotations

WAREHOUSE = """\
kind: Integration
name: warehouse
plugin: http
config: {base_url: https://warehouse.example.com/api}
"""
ORDER_CREATED = """\
kind: EventType
name: order.created
version: 1
schema: {type: object, required: [order_id], properties: {order_id: {type: string}}}
"""
ORDERS = """\
kind: Webhook
name: orders
direction: outbound
integration: warehouse
events: [order.created]
metadata: {team: sales}
retry: {schedule: [5s, 5m], jitter: 0.20}
"""
SIGNED = ORDERS.replace("orders\n", "signed\n") + "sign:\n  scheme: standard-webhooks\n  key: {secret: HOOK_KEY}\n"
ALL = (WAREHOUSE, ORDER_CREATED, ORDERS)


def changed(text: str, *lines: str) -> str:
    """Return a definition with more lines."""
    return text + "".join(f"{line}\n" for line in lines)
