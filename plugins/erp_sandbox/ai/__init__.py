"""The module `ai`: plain statistics, so that flows that ask a model run without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugins.erp_sandbox.ai import models

if TYPE_CHECKING:
    from plugins.erp_sandbox.desk import Work

READS: dict[str, Work] = {"ai.predict": models.predict}
WRITES: dict[str, Work] = {}

__all__ = ["READS", "WRITES"]
