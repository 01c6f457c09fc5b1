"""The module `finance`."""
