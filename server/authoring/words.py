"""The words for kinds of definitions; light, for the command line shows them in its help."""

from __future__ import annotations

KINDS = {
    "integration": "Integration",
    "webhook": "Webhook",
    "sync-job": "SyncJob",
    "flow": "Flow",
    "event-type": "EventType",
}
"""How a kind is written in paths and answers, and what it is called in a file."""
