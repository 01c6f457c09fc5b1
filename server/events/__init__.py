"""The envelope, the catalogue, the event store, and publishing in one transaction."""
