"""A FakeServer replier for runs that learn: solver, programs, judge and every prompt of the abstractor, by role."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from strategy_runs import Said, recipe_of

from phronesis.graphs.recipe import Recipe
from phronesis.testing import FakeReply, FakeRequest, FakeServer

SIGNS = {
    "lessons": "Write down the ideas of the solution",
    "contrast": "A problem was tried more than once",
    "pitfall": "failed a test",
    "pseudocode": "as short pseudocode",
    "concepts": "Take it apart into concepts",
    "lesson": "Write down the one idea",
    "judge": "Is the final answer of this solution correct?",
    "programmer": "def solution",
}
LESSON = {"situation": "two amounts are put together", "suggestion": "add them up carefully"}
WRITERS = ("lesson", "lessons", "contrast", "pitfall", "pseudocode", "concepts")


def role_of(request: FakeRequest) -> str:
    return next((role for role, sign in SIGNS.items() if sign in request.text), "solver")


def solved(answer: object, *, right: bool = True, words: str = "") -> str:
    """An attempt with one equation."""
    return f"{words}\n7 + 5 = {12 if right else 13}.\nThe answer is \\boxed{{{answer}}}."


def attempts(*answers: object) -> Callable[[FakeRequest, int], Said]:
    return lambda request, index: solved(answers[index % len(answers)], words=f"Attempt {index}.")


def returning(*values: object) -> Callable[[FakeRequest, int], Said]:
    """Programs that give these values, by index."""
    return lambda request, index: f"    return {values[index % len(values)]!r}\n"


@dataclass
class Learning:
    """Every role's script."""

    solver: Callable[[FakeRequest, int], Said] = field(default_factory=lambda: attempts(12))
    programmer: Callable[[FakeRequest, int], Said] = field(default_factory=lambda: returning(12))
    yes: float = 0.9
    """The judge's P(Yes)."""
    writes: Mapping[str, Any] = field(default_factory=dict)
    """Replies of the abstractor by prompt: values, texts, or functions of the request."""
    asked: dict[str, list[FakeRequest]] = field(default_factory=dict)

    def __call__(self, request: FakeRequest, index: int) -> Said:
        role = role_of(request)
        self.asked.setdefault(role, []).append(request)
        if role == "solver":
            return self.solver(request, index)
        if role == "programmer":
            return self.programmer(request, index)
        if role == "judge":
            return FakeReply("Yes", top={" Yes": math.log(self.yes), " No": math.log(1 - self.yes)})
        said = self.writes.get(role, LESSON if role in ("lesson", "pitfall") else {"lessons": [LESSON]})
        said = said(request) if callable(said) else said
        return said if isinstance(said, str) else json.dumps(said)

    def count(self, *roles: str) -> int:
        return sum(len(self.asked.get(role, [])) for role in roles)

    def texts(self, *roles: str) -> str:
        """All that these roles were shown."""
        return "\n".join(request.text for role in roles for request in self.asked.get(role, []))


def learner(server: FakeServer, **keys: Any) -> Recipe:
    """Self-consistency with a memory that is written to; ``verifier="judge"`` is a key of the memory section, ``k=4`` a
    knob."""
    memory = {f"memory__{name}": value for name, value in keys.items() if name != "k" and "__" not in name}
    others = {name: value for name, value in keys.items() if name == "k" or "__" in name}
    return recipe_of("self_consistency", server, **{"k": 3, "memory__mode": "write", **memory, **others})
