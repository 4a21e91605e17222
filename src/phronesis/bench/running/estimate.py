"""What a bench may cost, from the cost laws, before a call is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from phronesis.bench.dataset import DataSet
from phronesis.bench.running.plan import Arm, BenchPlan
from phronesis.graphs.nodes.recalling import recall_calls
from phronesis.graphs.recipe import Recipe

_TOKENS = 512
"""Longest reply where neither knobs nor models say one."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an arm may cost on a set, all repeats together."""

    arm: str
    set: str
    questions: int
    repeats: int
    formula: str
    """Calls of one task."""
    calls: tuple[int, int]
    """Least and most, over all questions and repeats; a bank serves some of them."""
    tokens: int
    """Most generated tokens: as many as the longest replies have."""
    bank: str

    def line(self) -> str:
        """For people."""
        source = f", drawn from {self.bank} first" if self.bank else ""
        asked = f"{self.questions} questions" + (f" x {self.repeats}" if self.repeats > 1 else "")
        return (
            f"{self.set} / {self.arm}: {asked}, {self.formula} calls each: {self.calls[0]} to {self.calls[1]} calls, "
            f"at most {self.tokens} generated tokens{source}"
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(plan: BenchPlan, sets: Mapping[str, DataSet]) -> list[Estimate]:
    """A row per set and arm, in the plan's order."""
    return [_row(arm, name, len(data.examples), plan.repeats) for name, data in sets.items() for arm in plan.arms]


def _row(arm: Arm, name: str, questions: int, repeats: int) -> Estimate:
    recipe = Recipe.from_data(arm.recipe, source=f"arm {arm.name}")
    law, before = recipe.strategy.cost(recipe.knobs), recall_calls(recipe.file.memory)
    least, most = law.least[0] + before[0], law.most[0] + before[1]
    cap = recipe.file.budget.calls
    most = most if cap is None else min(most, cap + before[1])
    times = questions * repeats
    knobs = recipe.knobs.model_dump()
    set_by_models = [section.sampling.max_tokens or 0 for section in recipe.file.models.values()]
    longest = max(
        [int(value) for key, value in knobs.items() if key.endswith("_tokens") and value] + set_by_models + [0]
    )
    tokens = most * times * (longest or _TOKENS)
    cap_tokens = recipe.file.budget.tokens
    tokens = tokens if cap_tokens is None else min(tokens, cap_tokens * times)
    return Estimate(
        arm.name, name, questions, repeats, law.calls, (min(least, most) * times, most * times), tokens, arm.bank
    )
