"""The composition root: the only place that chooses concrete classes. Everything replaceable is a keyword.

settings ─▶ Core (stores, key ring, plugins, publisher, what events owe) ─▶ api() · worker() · scheduler()
"""

from .api_role import BRANCHES, Api, api, local
from .scheduler_role import Timer, scheduler
from .shared import Core, caller_of, core, health_of, making_of
from .worker_role import Worker, worker

__all__ = [
    "BRANCHES",
    "Api",
    "Core",
    "Timer",
    "Worker",
    "api",
    "caller_of",
    "core",
    "health_of",
    "local",
    "making_of",
    "scheduler",
    "worker",
]
