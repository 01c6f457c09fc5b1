"""Logs, metrics and traces: what every process says about itself, without a secret in it."""
