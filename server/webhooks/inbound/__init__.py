"""Inbound webhooks: verified HTTP requests, stored before they are answered, mapped to events by the worker."""
