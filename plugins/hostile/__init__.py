"""A plugin that misbehaves in every way that we could think of."""
