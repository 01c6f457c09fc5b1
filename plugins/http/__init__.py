"""Any system with an HTTP API."""
