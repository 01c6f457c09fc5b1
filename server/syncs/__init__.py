"""Sync jobs: what they declare, when they run, and what they have written where."""
