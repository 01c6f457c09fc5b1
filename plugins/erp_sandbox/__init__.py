"""The embedded ERP: small, whole, and on SQL of its own."""
