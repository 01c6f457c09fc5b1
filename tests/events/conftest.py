from __future__ import annotations

from tests.support.reused import reused_database  # noqa: F401 (a fixture)
