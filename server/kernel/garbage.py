"""How often Python looks for garbage that refers to itself: seldom, in a process that makes and drops thousands of things a second."""

from __future__ import annotations

import gc

# Ours go by their reference counts. By default every 700 new things are looked through, and of ten thousand webhooks at work all that
# they keep, again and again: a fifth of a delivery's time.
_THRESHOLDS = (10_000, 20, 20)


def seldom() -> None:
    """Look seldom. Done before all else that is needed is loaded, it saves a quarter of that time."""
    gc.set_threshold(*_THRESHOLDS)


def settle() -> None:
    """Take what stands now for what stands for good, and look seldom through what comes."""
    gc.collect()
    gc.freeze()
    seldom()
