"""What a recipe's memory costs beside its strategy, as the command line says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phronesis.graphs.recipe import Recipe


def learning_data(recipe: Recipe) -> dict[str, Any]:
    """Calls and depth of learning from one task, for ``--json``."""
    from phronesis.graphs.memory_cost import learning_cost

    law = learning_cost(recipe.file.memory, recipe.strategy.cost(recipe.knobs).most[0])
    observables = {key: {"meaning": o.meaning, "least": o.low, "most": o.high} for key, o in law.observables.items()}
    return {
        "calls": {"formula": law.calls, "least": law.least[0], "most": law.most[0]},
        "depth": {"formula": law.depth, "least": law.least[1], "most": law.most[1]},
        "observables": observables,
    }


def learning_line(recipe: Recipe) -> str | None:
    """One line about it; None when it costs nothing."""
    data = learning_data(recipe)
    calls, depth = data["calls"], data["depth"]
    if not calls["most"]:
        return None
    told = f"{calls['formula']} = 0 to {calls['most']} calls for each task, depth 0 to {depth['most']}"
    parts = "; ".join(f"{key}: {item['meaning']}, 0 to {item['most']}" for key, item in data["observables"].items())
    return f"and to learn: {told} ({parts})"
