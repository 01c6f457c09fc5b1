"""Talks to SQL databases: PostgreSQL, SQLite, MySQL and MariaDB."""
