"""Replays: what was delivered, or what a webhook has never had, made due once more, as a job that loses and repeats nothing."""
