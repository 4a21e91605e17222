"""Multi-agent reasoning recipes on local models, with a memory that lasts.

Names are loaded when they are first used, so that ``import phronesis`` stays under a tenth of a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_EXPORTS = {
    "Budget": "phronesis.core.budget",
    "Candidate": "phronesis.core.result",
    "Concept": "phronesis.core.concept",
    "Evidence": "phronesis.core.concept",
    "KnowledgeBase": "phronesis.tools.knowledge.base",
    "Memory": "phronesis.memory.session",
    "Message": "phronesis.core.task",
    "PhronesisError": "phronesis.core.errors",
    "Recipe": "phronesis.graphs.recipe",
    "Result": "phronesis.core.result",
    "Task": "phronesis.core.task",
    "replay": "phronesis.graphs.replay",
    "replay_sync": "phronesis.graphs.replay",
    "tool": "phronesis.tools.function_tool",
}

__all__ = [
    "Budget", "Candidate", "Concept", "Evidence", "KnowledgeBase", "Memory", "Message", "PhronesisError", "Recipe",
    "Result", "Task", "replay", "replay_sync", "tool",
]  # fmt: skip

if TYPE_CHECKING:
    from phronesis.core.budget import Budget
    from phronesis.core.concept import Concept, Evidence
    from phronesis.core.errors import PhronesisError
    from phronesis.core.result import Candidate, Result
    from phronesis.core.task import Message, Task
    from phronesis.graphs.recipe import Recipe
    from phronesis.graphs.replay import replay, replay_sync
    from phronesis.memory.session import Memory
    from phronesis.tools.function_tool import tool
    from phronesis.tools.knowledge.base import KnowledgeBase


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        value = getattr(import_module(_EXPORTS[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'phronesis' has no attribute {name!r}; public names: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
