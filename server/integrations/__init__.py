"""Connections to other systems through plugins: discovery, the guarded call, the Integration aggregate."""
