"""Sync jobs: what they declare, when they run, and what they have written where."""

RUNS = False
"""Whether the engine of runs is there. Until then every SyncJob is answered with NOT_YET, though all of it is declared, and
neither its routes nor its commands exist: this is the one switch."""
