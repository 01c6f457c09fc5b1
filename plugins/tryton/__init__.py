"""Answers the module ports from a Tryton server."""
